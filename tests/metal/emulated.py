"""Emulated Picos with our firmware, and what a person or a gateway at their USB ports says and sees."""

from __future__ import annotations

import json
import re
import socket
import time
from typing import ClassVar

from fieldelm import frame, modem_framing as framing, payloads
from fieldelm_gateway.cipher import Ccm
from fieldelm_tools.emulator import Emulator

SPI1 = {"sck": 10, "mosi": 11, "miso": 12}
RADIOS = {
    "sx1276": {"name": "radio", "type": "sx1276", "spi": {**SPI1, "cs": 13}, "pins": {"reset": 14, "dio0": 15}},
    "sx1262": {
        "name": "radio",
        "type": "sx1262",
        "spi": {**SPI1, "cs": 3},
        "pins": {"reset": 15, "busy": 2, "dio1": 20},
        "options": {"tcxo": True, "rfSwitch": "dio2"},
    },
}
FAN = {
    "constant": [0, 0, 1],
    "sines": [{"axis": 0, "hz": 50, "g": 0.2}, {"axis": 1, "hz": 120, "g": 0.1}],
    "noise": 0.05,
}
SENSOR = {
    "name": "sensor",
    "type": "adxl345",
    "spi": {"sck": 6, "mosi": 7, "miso": 4, "cs": 5},
    "pins": {"int1": 8},
    "signal": FAN,
}
BATTERY = {"pin": 29, "volts": 3.9, "ratio": 3}
NODE = {
    "schema": 1,
    "board": "rpi_pico",
    "eui": "0200000000000001",
    "node_id": 7,
    "keys": {"0": "000102030405060708090a0b0c0d0e0f"},
}
MODEM = {"schema": 1, "role": "modem", "board": "rpi_pico"}
CHANNEL = {"freq_khz": 868100, "sf": 9, "bandwidth_hz": 125000, "coding_rate": 5, "preamble_len": 8}
_WALL_S = 60  # longest that a test waits for a Pico to say something


def opened_hello(data: bytes) -> dict[str, int]:
    """The fields of a HELLO that the node NODE has sealed."""
    header = frame.parse(data, frame.UPLINK)
    assert header.kind == frame.HELLO
    buffer = bytearray(data)
    cipher = Ccm(bytes.fromhex(NODE["keys"]["0"]))
    nonce, eui = bytearray(frame.NONCE_BYTES), bytes.fromhex(NODE["eui"])
    start, _ = frame.open_into(buffer, len(data), cipher, nonce, eui, header.counter, frame.UPLINK)
    return payloads.unpack(payloads.HELLO, buffer, start)


class Port:
    """A Pico's USB port; `opened` are those that the test has not closed."""

    opened: ClassVar[list[Port]] = []

    def __init__(self, emulator: Emulator, pico: str) -> None:
        self.emulator = emulator
        self.pico = pico
        self.said = b""
        self._socket = socket.create_connection(("127.0.0.1", emulator.ports[pico]))
        self._socket.settimeout(0.2)
        self.opened.append(self)

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        """Let another program have it."""
        self._socket.close()
        self.opened.remove(self)

    def read(self) -> bytes:
        """What has come within 0.2 s."""
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            return b""
        assert data, "the emulator has closed the port"
        self.said += data
        return data

    def until(self, pattern: str, times: int = 1) -> list[str]:
        """Read until a regular expression was found so many times; return what it found."""
        end = time.monotonic() + _WALL_S
        while len(found := re.findall(pattern, self.said.decode(errors="replace"))) < times:
            self.read()
            assert time.monotonic() < end, (
                f"{self.pico} said no {pattern!r} but {self.said[-800:].decode(errors='replace')}"
            )
        return found

    def prompt(self) -> None:
        """Get the raw REPL, as mpremote does."""
        self.said = b""
        self.write(b"\r\x03\x03\r\x01")
        self.until("raw REPL; CTRL-B to exit\r\n>")

    def run(self, code: str) -> str:
        """Run code at the raw REPL and return what it prints; an exception there is a failure here."""
        self.said = b""
        self.write(code.encode() + b"\x04")
        self.until("\x04[^\x04]*\x04>")
        printed, raised, _ = self.said.split(b"\x04")
        assert not raised, raised.decode()
        return printed.removeprefix(b"OK").decode().replace("\r\n", "\n")

    def provide(self, config: dict[str, object] | None) -> None:
        """Write the configuration and restart."""
        self.prompt()
        if config is not None:
            self.run(f"with open('config.json', 'w') as file: file.write({json.dumps(config)!r})")
        self.restart()

    def restart(self) -> None:
        """Reset the processor."""
        self.said = b""
        self.write(b"import machine\nmachine.reset()\x04")

    def rows(self) -> list[dict[str, object]]:
        """The lines of JSON that a node has printed since the restart."""
        return [json.loads(line) for line in re.findall(r"\{.*\}(?=\r\n)", self.said.decode(errors="replace"))]

    def wait(self, seconds: float) -> None:
        """Let emulated time pass."""
        end = self.seconds() + seconds
        limit = time.monotonic() + _WALL_S
        while self.seconds() < end:
            self.read()
            assert time.monotonic() < limit, "emulated time does not pass"

    def seconds(self) -> float:
        """Emulated time."""
        return float(self.emulator.command("status", pico=self.pico)["time"])

    def status(self) -> dict[str, object]:
        """What the emulator knows of this Pico."""
        return self.emulator.command("status", pico=self.pico)


class Host:
    """A gateway at a modem's port, in the test's hands: `messages` are (type, fields, frame)."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self.messages: list[tuple[int, dict[str, int], bytes]] = []
        self._decoder = framing.Decoder()
        self._read = 0

    def say(self, kind: int, fields: dict[str, int] | None = None, frame: bytes = b"") -> None:
        message, out = bytearray(framing.MAX_MESSAGE), bytearray(framing.MAX_ENCODED)
        message[0] = kind
        end = payloads.pack_into(framing.TABLES[kind], message, 1, fields or {})
        message[end : end + len(frame)] = frame
        self.port.write(bytes(out[: framing.encode_into(out, message, end + len(frame))]))

    def listen(self) -> None:
        for byte in self.port.read():
            if length := self._decoder.push(byte):
                kind = self._decoder.message[0]
                table = framing.TABLES.get(kind)
                if table is not None and kind < framing.CONFIGURE:
                    end = 1 + payloads.size(table)
                    fields = payloads.unpack(table, self._decoder.message, 1)
                    self.messages.append((kind, fields, bytes(self._decoder.message[end:length])))

    def heard(self, kind: int, count: int = 1) -> list[tuple[dict[str, int], bytes]]:
        """The first messages of this kind, which are then forgotten."""
        end = time.monotonic() + _WALL_S
        while len(found := [message for message in self.messages if message[0] == kind]) < count:
            self.listen()
            assert time.monotonic() < end, f"the modem said {self.messages}, and {self.port.said[-300:]!r}"
        for message in found[:count]:
            self.messages.remove(message)
        return [message[1:] for message in found[:count]]

    def configure(self) -> None:
        self.heard(framing.HELLO)
        self.say(framing.CONFIGURE, CHANNEL)
        assert self.heard(framing.CONFIGURED)[0][0]["result"] == 0
