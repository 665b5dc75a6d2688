"""How many forged frames would be believed in a year, if somebody sent guesses as fast as the channel carries them.

A guess at a tag of t bits is right once in 2^t tries. The shortest frame that is opened under a tag takes its time on the air,
with the shortest preamble that a radio sends and without a CRC, which its sender decides; so many guesses fit into a year, one
after the other, on one channel. In truth each receiver takes less: a node listens for a moment after it has spoken only, and a
guess must hit the one counter that is next. `python -m fieldelm_tools.forgery` prints it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fieldelm import airtime, frame, payloads
from fieldelm_gateway import numbers, verify

YEAR_S = 365.25 * 86_400
SPREADING_FACTORS = (7, 8, 9, 10, 11, 12)
_HEADER = frame.header_bytes(frame.ALERT)
_LEAST_PREAMBLE = 6  # symbols: SX1276 datasheet 4.1.1.6, SX1262 13.4.6


@dataclass(frozen=True, slots=True)
class Row:
    """One spreading factor and bandwidth: expected forgeries a year."""

    sf: int
    bw: str
    uplinks_4: float
    """under the tag of 4 bytes"""
    uplinks_8: float
    """under the tag of 8 bytes, also of HELLO and RESPONSE"""
    downlinks: float
    """at a node that believes as many gateways as by default"""


def _guesses(length: int, sf: int, bw: str) -> float:
    return YEAR_S * 1e6 / float(airtime.time_on_air_us(length, sf, bw, preamble_len=_LEAST_PREAMBLE, crc=False))


def expected(sf: int, bw: str = "125") -> Row:
    """Expected forgeries a year at one spreading factor."""
    short = _guesses(_HEADER + verify.LEAST_PAYLOAD + 4, sf, bw)
    long = _guesses(_HEADER + frame.LONG_TAG, sf, bw)  # even without any payload
    ack = _guesses(_HEADER + payloads.size(payloads.ACK) + frame.LONG_TAG, sf, bw)
    return Row(
        sf=sf,
        bw=bw,
        uplinks_4=short / 2**32,
        uplinks_8=long / 2**64,
        downlinks=ack * len(numbers.BELIEVED) / 2**64,
    )


def rows(bw: str = "125") -> list[Row]:
    """All spreading factors."""
    return [expected(sf, bw) for sf in SPREADING_FACTORS]


def table(found: Sequence[Row]) -> str:
    """As text."""
    lines = ["expected forgeries a year", " SF  bandwidth  uplinks, 4-byte tag  uplinks, 8-byte tag  downlinks"]
    for row in found:
        lines.append(
            f"{row.sf:3d}  {row.bw:>5} kHz  {row.uplinks_4:19.4f}  {row.uplinks_8:19.1e}  {row.downlinks:9.1e}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table([*rows("125"), *rows("500")]))
