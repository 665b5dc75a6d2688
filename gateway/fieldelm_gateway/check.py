"""`fieldelm gateway check`: would it work? Tries the database, the radios and the broker, and changes nothing."""

import contextlib
import os
import socket
import stat
from dataclasses import dataclass

import serial

from . import documents, numbers
from .broker import Connection, ProtocolRefusedError, address
from .config import GatewayConfig, Radio
from .errors import GatewayError
from .ingress_serial import explain
from .store import Store

_CONNECT_S = 3.0


@dataclass(frozen=True, slots=True)
class Result:
    """One thing that was tried."""

    what: str
    ok: bool
    text: str


def _good(what: str, text: str) -> Result:
    return Result(what, ok=True, text=text)


def _bad(what: str, text: str) -> Result:
    return Result(what, ok=False, text=text)


def check(config: GatewayConfig) -> list[Result]:
    """Try everything; each problem comes with its mend."""
    return [_database(config), *[_radio(radio) for radio in config.radio], _broker(config)]


def _database(config: GatewayConfig) -> Result:
    path = config.database_path()
    if not path.exists():
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        if not os.access(parent, os.W_OK):
            return _bad("database", f"{path} cannot be made: this user may not write in {parent}")
        return _good("database", f"{path} will be made when the gateway starts")
    try:
        with contextlib.closing(Store(path, read_only=True)) as store:
            count = len(store.nodes())
            number = numbers.answers_as(store, config)
    except GatewayError as error:
        return _bad("database", str(error))
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return _bad("database", f"{path} holds keys and can be read by others (mode {mode:o}): chmod 600 {path}")
    if not os.access(path, os.W_OK):
        return _bad("database", f"{path} is read-only for this user: run as the gateway's user")
    answers = f"answers as gateway number {number}" if number else "only listens"
    return _good("database", f"{path}, {count} node{'' if count == 1 else 's'}, {answers}")


def _radio(radio: Radio) -> Result:
    what = f"radio {radio.name}"
    try:
        if radio.kind == "air":
            host, _, port = radio.address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
            return _good(what, f"an air server listens on {radio.address}")
        serial.serial_for_url(radio.port, radio.baud, exclusive=True).close()
    except (OSError, ValueError, serial.SerialException) as error:
        if "exclusively lock" in str(error):
            return _good(what, f"{radio.port} is in use, probably by the running gateway")
        if radio.kind == "serial":
            return _bad(what, f"{radio.port}: {explain(error)}")
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return _bad(what, f"{radio.address}: {reason}: is the air server running, and [[radio]] address right?")
    return _good(what, f"{radio.port} can be opened")


def _broker(config: GatewayConfig) -> Result:
    host, port = address(config.mqtt)
    topics = documents.Topics(config.base_topic())
    wanted = ["5", "3.1.1"] if config.mqtt.protocol == "auto" else [config.mqtt.protocol]
    # an identity of its own, so that a running gateway keeps its connection, and a last will that is never sent
    will = (topics.state + "/check", "")
    text = ""
    for protocol in wanted:
        try:
            Connection(config, protocol, will, client_id_suffix="-check").close()
            return _good("broker", f"{host}:{port} speaks MQTT {protocol}")
        except ProtocolRefusedError as error:
            text = str(error)
        except GatewayError as error:
            text = str(error)
            break
    return _bad("broker", text)
