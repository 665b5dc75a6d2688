"""The air between simulated nodes and gateways: a development tool.

`AirServer` serves it on loopback from a thread; `AirOptions` and `Propagation` say how it behaves. `python -m
fieldelm_tools.air --port 7500` runs one by hand. The protocol: docs/reference/interfaces.md, section 4.
"""

from .propagation import Propagation
from .server import AirOptions, AirServer

__all__ = ["AirOptions", "AirServer", "Propagation"]
