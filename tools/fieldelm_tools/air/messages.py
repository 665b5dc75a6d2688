"""The lines that clients send to the air: parsed and checked.

One JSON object a line (docs/reference/interfaces.md, section 4). Whatever is not exactly that raises `MessageError`,
whose text goes back to the client.
"""

import dataclasses
import json
import math
from collections.abc import Mapping

from fieldelm import airtime

LINE_BYTES = 4096
MAX_TIME_US = 1 << 53
MAX_DELAY_US = 10_000_000
ROLES = ("node", "gateway", "radio", "observer")
_LEAST_SF = 7  # of nodes and gateways
_LONGEST_US = 1_000_000_000  # a frame with a preamble of 65,535 symbols


class MessageError(ValueError):
    """The line cannot be used; the text says why."""


@dataclasses.dataclass(frozen=True)
class Radio:
    """How a radio sends or listens."""

    freq_khz: int
    sf: int
    bw_khz: str
    coding_rate: int
    preamble_len: int
    output_power: float
    invert_iq: bool

    @property
    def bandwidth_khz(self) -> float:
        """Bandwidth as a number."""
        return float(self.bw_khz)

    @property
    def symbol_us(self) -> int:
        """Duration of a symbol."""
        return (int(airtime.symbol_us(_LEAST_SF, self.bw_khz)) << self.sf) >> _LEAST_SF

    def airtime_us(self, length: int) -> int:
        """Duration of a frame of that many bytes."""
        return int(airtime.time_on_air_us(length, self.sf, self.bw_khz, self.coding_rate, self.preamble_len))


@dataclasses.dataclass(frozen=True)
class Join:
    """A client says who it is."""

    role: str
    name: str
    x: float
    y: float
    gain_db: float


@dataclasses.dataclass(frozen=True)
class Wait:
    """A node sleeps."""

    until_us: int


@dataclasses.dataclass(frozen=True)
class Send:
    """A node sends a frame."""

    radio: Radio
    data: bytes


@dataclasses.dataclass(frozen=True)
class Begin:
    """A radio begins a frame, at this moment; it goes on deciding for itself what it hears."""

    radio: Radio
    data: bytes
    airtime_us: int
    """how long it will be; the chip may know shapes of a frame that the air does not"""
    details: Mapping[str, object]
    """what only an emulated chip knows of its frame, passed on as it is: `sync_word`, `header`, `crc`, `ldro`"""


@dataclasses.dataclass(frozen=True)
class Abort:
    """A radio stops in the middle of its frame."""


@dataclasses.dataclass(frozen=True)
class Listen:
    """A node opens its receiver."""

    radio: Radio
    until_us: int


@dataclasses.dataclass(frozen=True)
class Restart:
    """A node hangs up and will join again at once: time waits for it."""


@dataclasses.dataclass(frozen=True)
class Tune:
    """A gateway listens from now on."""

    radio: Radio


@dataclasses.dataclass(frozen=True)
class Reply:
    """A gateway answers an uplink."""

    id: int
    delay_us: int
    output_power: float
    invert_iq: bool
    data: bytes


@dataclasses.dataclass(frozen=True)
class Decline:
    """A gateway has nothing to say to an uplink."""

    id: int


Message = Join | Wait | Send | Begin | Abort | Listen | Restart | Tune | Reply | Decline


def parse(line: bytes) -> Message:
    """The message of one line. Raises `MessageError`."""
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        raise MessageError("the line is no JSON object") from None
    if not isinstance(given, dict):
        raise MessageError("the line is no JSON object")
    match given.get("op"):
        case "join":
            return _join(given)
        case "wait":
            return Wait(_integer(given, "until_us", 0, MAX_TIME_US))
        case "send":
            return Send(_radio(given, invert_iq=False), _data(given))
        case "begin":
            details = {
                "sync_word": _integer(given, "sync_word", 0, 255, 0x12),
                "header": _boolean(given, "header", default=True),
                "crc": _boolean(given, "crc", default=True),
                "ldro": _boolean(given, "ldro", default=False),
            }
            radio = _radio(given, invert_iq=False, least_sf=5, least_preamble=0)
            data = _data(given, least=0)
            usual = radio.airtime_us(len(data)) if radio.sf >= _LEAST_SF else None
            return Begin(radio, data, _integer(given, "airtime_us", 1, _LONGEST_US, usual), details)
        case "abort":
            return Abort()
        case "listen":
            return Listen(_radio(given, invert_iq=True), _integer(given, "until_us", 0, MAX_TIME_US))
        case "restart":
            return Restart()
        case "tune":
            return Tune(_radio(given, invert_iq=False))
        case "reply":
            return Reply(
                id=_integer(given, "id", 0, MAX_TIME_US),
                delay_us=_integer(given, "delay_us", 0, MAX_DELAY_US, 1_000_000),
                output_power=_number(given, "output_power", 14.0, 40.0),
                invert_iq=_boolean(given, "invert_iq", default=True),
                data=_data(given),
            )
        case "decline":
            return Decline(_integer(given, "id", 0, MAX_TIME_US))
    raise MessageError("unknown op")


def _join(given: Mapping[str, object]) -> Join:
    role, name = given.get("role"), given.get("name")
    if role not in ROLES:
        raise MessageError(f"role must be one of {', '.join(ROLES)}")
    if not isinstance(name, str) or not 0 < len(name) <= 64 or not name.isprintable():
        raise MessageError("name must be text of 1 to 64 characters")
    far = 1e7
    return Join(
        str(role),
        name,
        _number(given, "x", 0.0, far),
        _number(given, "y", 0.0, far),
        _number(given, "gain_db", 0.0, 100),
    )


def _radio(
    given: Mapping[str, object], *, invert_iq: bool, least_sf: int = _LEAST_SF, least_preamble: int = 6
) -> Radio:
    bandwidth = given.get("bw_khz", "125")
    radio = Radio(
        freq_khz=_integer(given, "freq_khz", 100_000, 3_000_000),
        sf=_integer(given, "sf", least_sf, 12),
        bw_khz=bandwidth if isinstance(bandwidth, str) else str(bandwidth)[:8],
        coding_rate=_integer(given, "coding_rate", 5, 8, 5),
        preamble_len=_integer(given, "preamble_len", least_preamble, 65535, 8),
        output_power=_number(given, "output_power", 14.0, 40.0),
        invert_iq=_boolean(given, "invert_iq", default=invert_iq),
    )
    try:
        airtime.symbol_us(_LEAST_SF, radio.bw_khz)
    except ValueError as error:
        raise MessageError(str(error)) from None
    return radio


def _integer(given: Mapping[str, object], key: str, low: int, high: int, default: int | None = None) -> int:
    value = given.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise MessageError(f"{key} must be a whole number from {low} to {high}")
    return value


def _number(given: Mapping[str, object], key: str, default: float, limit: float) -> float:
    value = given.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.fabs(value) <= limit:
        raise MessageError(f"{key} must be a number from -{limit:g} to {limit:g}")
    return float(value)


def _boolean(given: Mapping[str, object], key: str, *, default: bool) -> bool:
    value = given.get(key, default)
    if not isinstance(value, bool):
        raise MessageError(f"{key} must be true or false")
    return value


def _data(given: Mapping[str, object], least: int = 1) -> bytes:
    value = given.get("data")
    try:
        data = bytes.fromhex(value) if isinstance(value, str) else None
    except ValueError:
        data = None
    if data is None or not least <= len(data) <= 255:
        raise MessageError(f"data must be {least} to 255 bytes in hex")
    return data
