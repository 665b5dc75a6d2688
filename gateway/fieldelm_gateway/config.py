"""The configuration: one TOML file, checked key by key into frozen dataclasses.

The dataclasses are the only source: `read` checks a file against them, and `annotated_default` prints them with their
explanations, which is what `fieldelm gateway config` shows.
"""

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from fieldelm import regions

from .errors import ConfigError

Check = Callable[[Any], str | None]
Section = TypeVar("Section")
_HERE = "here"  # metadata key of what a field means


def setting(default: Any, help_text: str, check: Check | None = None, shown: bool = True) -> Any:
    """A field with its explanation; `check` returns what the value must be, or None.

    `shown` false prints it commented out.
    """
    return dataclasses.field(default=default, metadata={_HERE: help_text, "check": check, "shown": shown})


def between(low: float, high: float) -> Check:
    """A number in a range."""
    return lambda value: None if low <= value <= high else f"from {low:g} to {high:g}"


def _name(value: str) -> str | None:
    return None if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value) else '1 to 64 letters, digits, "-" or "_"'


def _printable(value: str) -> str | None:
    return None if len(value) <= 128 and value.isprintable() else "at most 128 printable characters"


def _file(value: str) -> str | None:
    try:
        Path(value).expanduser()
    except RuntimeError:
        return "a path; there is no such user, or it has no home"
    return "a path" if "\0" in value else None


def _is_host(name: str) -> bool:
    try:
        return bool(name.encode("idna")) and name.isprintable()
    except UnicodeError:  # a part of it is empty or too long
        return False


def _duty_cycle(value: float | str) -> str | None:
    if value in ("plan", "unlimited") or (isinstance(value, int | float) and 0 < value <= 1):
        return None
    return '"plan", a fraction above 0 up to 1, or "unlimited"'


def _topic(value: str) -> str | None:
    fits = re.fullmatch(r"[^+#/\x00-\x1f]+(/[^+#/\x00-\x1f]+)*", value)
    return None if fits else 'a topic without "+" and "#", like "homeassistant"'


def _one_of(*choices: object) -> Check:
    return lambda value: None if value in choices else "one of " + ", ".join(map(repr, choices))


def _broker(value: str) -> str | None:
    problem = 'a URL like "mqtt://localhost:1883"'
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return problem
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or port == 0 or parts.path not in {"", "/"}:
        return problem
    if not _is_host(parts.hostname):
        return problem
    return 'without user and password: use "username" and "password_file"' if parts.username or parts.password else None


def _host_and_port(value: str) -> str | None:
    host, _, port = value.rpartition(":")
    fits = _is_host(host) and re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 65536
    return None if fits else 'like "127.0.0.1:7500"'


def _port(value: str) -> str | None:
    # pyserial takes URLs, too; of them the emulated modem has one
    scheme, slashes, rest = value.partition("://")
    if slashes:
        return None if scheme == "socket" and _host_and_port(rest) is None else 'like "socket://127.0.0.1:7501"'
    return None if value and value.isprintable() else 'a name like "/dev/ttyACM0"'


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this gateway is."""

    name: str = setting("gateway", 'Part of every topic: letters, digits, "-" and "_".', _name)
    number: int = setting(1, "1 to 255. Gateways that hear the same nodes need different numbers.", between(1, 255))
    location: str = setting("", "Where it hangs, for people.", _printable)
    answers: bool = setting(
        default=True,
        help_text="Of several gateways that hear the same nodes only one may answer them; false on the others.",
    )


@dataclass(frozen=True, slots=True)
class Database:
    """Where nodes, keys, the log and what waits for the broker are kept."""

    path: str = setting("", "A file; empty means the place your system keeps such files in.", _file, shown=False)
    outbox_limit: int = setting(
        100_000,
        "Messages that may wait for the broker. When it is full the gateway stops acknowledging.",
        between(10, 10_000_000),
    )


@dataclass(frozen=True, slots=True)
class Mqtt:
    """The broker."""

    url: str = setting("mqtt://localhost:1883", "Address of the broker; mqtts://… encrypts (port 8883).", _broker)
    username: str = setting("", "Name to log in with; empty: none.", _printable, shown=False)
    password_file: str = setting(
        "", "File whose first line is the password; it should be readable by the gateway only.", _file, shown=False
    )
    ca_file: str = setting(
        "",
        "With mqtts: certificate of the authority that signed the broker's; empty: the system's.",
        _file,
        shown=False,
    )
    cert_file: str = setting(
        "", "With mqtts: the gateway's own certificate, where the broker asks for one.", _file, shown=False
    )
    key_file: str = setting(
        "", "With mqtts: the key of that certificate; readable by the gateway only.", _file, shown=False
    )
    client_id: str = setting("", 'Empty means "fieldelm-" and the gateway\'s name.', _printable, shown=False)
    protocol: Literal["auto", "5", "3.1.1"] = setting(
        "auto", '"auto" speaks MQTT 5, and 3.1.1 where the broker knows no better.'
    )
    keepalive_s: int = setting(30, "A silent connection is given up after about this time.", between(5, 3600))
    retry_max_s: float = setting(30.0, "Longest pause between attempts to reach the broker.", between(0.1, 3600))
    in_flight: int = setting(
        100, "Messages on the way to the broker at once; the broker may ask for fewer.", between(1, 1000)
    )


@dataclass(frozen=True, slots=True)
class Commands:
    """Commands that wait for a node to speak."""

    expire_s: int = setting(
        86_400, "A command that a node has not answered after this time is given up.", between(60, 31_536_000)
    )


@dataclass(frozen=True, slots=True)
class HomeAssistant:
    """Home Assistant finds nodes and gateway by itself."""

    discovery: bool = setting(
        default=True,
        help_text="Publish discovery. Of several gateways that hear the same nodes only one should; false on the others.",
    )
    prefix: str = setting("homeassistant", "Discovery prefix, as set in Home Assistant.", _topic)


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page for the browser, and metrics for Prometheus."""

    enabled: bool = setting(default=True, help_text="false: no page, no metrics, no open port.")
    listen: str = setting(
        "127.0.0.1:8093", "Address and port. 0.0.0.0:8093 shows it to the whole network.", _host_and_port
    )
    token_file: str = setting(
        "",
        "File with the token that commands need; empty: `dashboard.token` beside the database, made by the gateway.",
        _file,
        shown=False,
    )


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the log is kept. What is older is averaged by the hour, then by the day."""

    frames_days: int = setting(30, "Every frame.", between(1, 36_500))
    hours_days: int = setting(400, "Averages by the hour.", between(1, 36_500))
    days_days: int = setting(3660, "Averages by the day.", between(1, 36_500))
    events_days: int = setting(3660, "Events, commands and what maintenance did.", between(1, 36_500))


@dataclass(frozen=True, slots=True)
class Radio:
    """A radio that listens. A gateway may have several `[[radio]]` sections."""

    kind: Literal["serial", "air"] = setting("serial", '"serial": a modem on USB or UART. "air": the simulated air.')
    name: str = setting("radio", "Names it in `health`; each has its own.", _name)
    port: str = setting(
        "/dev/ttyACM0", "Of a modem. /dev/serial/by-id/… stays the same when it is plugged in again.", _port
    )
    baud: int = setting(115_200, "Speed of a UART; USB ignores it.", between(9600, 4_000_000))
    address: str = setting("127.0.0.1:7500", "Of the simulated air.", _host_and_port, shown=False)
    x: float = setting(0.0, "Place in the simulated air, m.", shown=False)
    y: float = setting(0.0, "Place in the simulated air, m.", shown=False)
    plan: str = setting(
        "EU868",
        'Regional plan, "EU868" or "US915", that says which channels are allowed and for how long; or "none".',
        _one_of(*regions.PLANS),
    )
    freq_khz: int = setting(
        868_100,
        "Carrier, kHz; 869525, where EU868 allows 10 %, for more than forty nodes.",
        between(137_000, 1_020_000),
    )
    sf: int = setting(9, "Spreading factor; all nodes of this radio use the same.", between(7, 12))
    bw: str = setting("125", "Bandwidth, kHz.", _one_of("62.5", "125", "250", "500"))
    coding_rate: int = setting(5, "5 to 8 for 4/5 to 4/8.", between(5, 8))
    preamble_len: int = setting(8, "Symbols.", between(6, 1000))
    output_power: int = setting(14, "Of acknowledgements and commands, dBm.", between(-9, 22))
    duty_cycle: float | str = setting(
        "plan",
        'Share of each hour that it may transmit: "plan" for what the plan allows, a smaller fraction, or "unlimited".',
        _duty_cycle,
    )


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """All of it."""

    gateway: Identity = dataclasses.field(default_factory=Identity)
    database: Database = dataclasses.field(default_factory=Database)
    mqtt: Mqtt = dataclasses.field(default_factory=Mqtt)
    commands: Commands = dataclasses.field(default_factory=Commands)
    home_assistant: HomeAssistant = dataclasses.field(default_factory=HomeAssistant)
    dashboard: Dashboard = dataclasses.field(default_factory=Dashboard)
    retention: Retention = dataclasses.field(default_factory=Retention)
    radio: tuple[Radio, ...] = (Radio(),)

    def database_path(self) -> Path:
        """The database file."""
        return Path(self.database.path).expanduser() if self.database.path else state_directory() / "gateway.db"

    def base_topic(self) -> str:
        """What every topic begins with."""
        return f"fieldelm/v1/{self.gateway.name}"


def state_directory() -> Path:
    """Where the platform keeps a program's state: systemd's choice, the system's for root, else the user's."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/fieldelm")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "fieldelm"


def default_places() -> tuple[Path, ...]:
    """Where a configuration is looked for when none is named."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return (home / "fieldelm" / "gateway.toml", Path("/etc/fieldelm/gateway.toml"))


def find(given: str | None) -> Path:
    """The configuration file to use. Raises ConfigError if there is none."""
    if given:
        return Path(given)
    for path in default_places():
        if path.is_file():
            return path
    first = default_places()[0]
    folder = "" if first.parent.is_dir() else f"mkdir -p {first.parent} && "
    raise ConfigError(
        f"no configuration found: write one with `{folder}fieldelm gateway config > {first}`,"
        " or name it with --config FILE"
    )


def load(path: Path) -> GatewayConfig:
    """Read and check a configuration file. Raises ConfigError, one line with file, key and mend."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"{path}: cannot be read ({reason}); `fieldelm gateway config` prints one to begin with"
        ) from None
    return read(text, str(path))


def read(text: str, where: str) -> GatewayConfig:
    """Check the text of a configuration; `where` names it in errors."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: is not TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{where}: is not a configuration: it is nested without end") from None
    hints = get_type_hints(GatewayConfig)
    sections = {name: cls for name, cls in hints.items() if name != "radio"}
    _refuse_unknown(document, [*sections, "radio"], where, "section")
    values: dict[str, Any] = {}
    for name, cls in sections.items():
        values[name] = _section(cls, document.get(name, {}), f"{where}: [{name}]")
    if values["mqtt"].password_file and not values["mqtt"].username:
        raise ConfigError(f"{where}: [mqtt]: password_file needs a username")
    radios = document.get("radio", [{}])
    if not isinstance(radios, list) or not radios:
        raise ConfigError(f"{where}: radio must be one or more [[radio]] sections, with two brackets")
    values["radio"] = tuple(_section(Radio, table, f"{where}: [[radio]]") for table in radios)
    for radio in values["radio"]:
        try:
            regions.hour_us(radio.plan, radio.freq_khz, radio.bw)
        except ValueError as error:
            raise ConfigError(f"{where}: [[radio]]: {error}") from None
    names = [radio.name for radio in values["radio"]]
    if len(set(names)) < len(names):
        raise ConfigError(f'{where}: [[radio]]: two radios have the same name: give each its own "name"')
    if len({radio.kind for radio in values["radio"]}) > 1:
        raise ConfigError(f'{where}: [[radio]]: "serial" and "air" keep different time: use one kind')
    mqtt = values["mqtt"]
    if bool(mqtt.cert_file) != bool(mqtt.key_file):
        raise ConfigError(f"{where}: [mqtt]: cert_file and key_file belong together: give both or neither")
    if not mqtt.url.startswith("mqtts:") and (mqtt.ca_file or mqtt.cert_file):
        raise ConfigError(f"{where}: [mqtt]: ca_file and cert_file need an encrypted connection: url mqtts://…")
    return GatewayConfig(**values)


def _refuse_unknown(table: Mapping[str, Any], known: list[str], where: str, what: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            mend = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"{where}: unknown {what} {key}: {mend}")


def _section(cls: type[Section], table: object, where: str) -> Section:
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: must be a section, not a value")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    _refuse_unknown(table, list(fields), where, "key")
    hints = get_type_hints(cls)
    values = {}
    for key, value in table.items():
        wanted = _must_be(hints[key], value)
        check: Check | None = fields[key].metadata["check"]
        if wanted is None and check is not None:
            wanted = check(value)
        if wanted is not None:
            raise ConfigError(f"{where}: {key} is {value!r}, must be {wanted}")
        values[key] = float(value) if hints[key] is float else value
    return cls(**values)


def _must_be(hint: Any, value: object) -> str | None:
    if get_origin(hint) is Literal:
        return _one_of(*get_args(hint))(value)
    if hint is bool:
        return None if isinstance(value, bool) else "true or false"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float:
        return None if number else "a number"
    if hint is int:
        return None if number and isinstance(value, int) else "a whole number"
    if hint is str:
        return None if isinstance(value, str) else "text in quotes"
    return None if number or isinstance(value, str) else "a number or text"


def _toml(value: object) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value).lower() if isinstance(value, bool) else str(value)


def annotated_default() -> str:
    """The default configuration with an explanation of every key."""
    lines = [
        "# Configuration of the Fieldelm gateway. Keys that are missing have the value shown here.",
        "# `fieldelm gateway check` tells whether it works.",
    ]
    for section in dataclasses.fields(GatewayConfig):
        cls = Radio if section.name == "radio" else get_type_hints(GatewayConfig)[section.name]
        lines += ["", f"# {cls.__doc__}", f"[[{section.name}]]" if cls is Radio else f"[{section.name}]"]
        for field in dataclasses.fields(cls):
            mark = "" if field.metadata["shown"] else "# "
            lines += [f"# {field.metadata[_HERE]}", f"{mark}{field.name} = {_toml(field.default)}"]
    return "\n".join(lines) + "\n"
