"""A sensor node that learns on the spot what normal sounds like."""

__version__ = "0.1.0"
