"""A modem at the other end of a real serial line (a pty), speaking the real framing."""

from __future__ import annotations

import os
import pty
import select
import threading
import time
import tty
from pathlib import Path
from typing import Any

from gateway_brokers import wait_for

from fieldelm import modem_framing as modem, payloads


class ScriptedModem:
    """Answers the gateway as the firmware does; the test says what it hears on the air."""

    def __init__(self, port: Path) -> None:
        self.port = port
        """a symbolic link that stays the same when the modem is plugged in again"""
        self.configured: list[dict[str, int]] = []
        self.sent: dict[int, bytes] = {}
        self.sent_fields: list[dict[str, int]] = []
        self.result = 0
        self.silent = False
        self._token = 0
        self._master = -1
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self.plug_in()

    def plug_in(self) -> None:
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        self.port.unlink(missing_ok=True)
        self.port.symlink_to(os.ttyname(slave))
        self._slave = slave  # held open, so that the line stays up while the gateway is away
        self._unplugged = threading.Event()
        self.is_configured = False
        self._thread = threading.Thread(target=self._run, args=(self._master,), daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        self.port.unlink()
        self._unplugged.set()
        assert self._thread
        self._thread.join()
        os.close(self._slave)
        master, self._master = self._master, -1
        os.close(master)

    def restart(self) -> None:
        """As after a reset: it has forgotten its channel."""
        self.is_configured = False
        self._hello()

    def write(self, data: bytes) -> None:
        with self._writing:
            while data:
                data = data[os.write(self._master, data) :]

    def tell(self, kind: int, fields: dict[str, int], data: bytes = b"") -> None:
        self.write(self.line(kind, fields, data))

    @staticmethod
    def line(kind: int, fields: dict[str, int], data: bytes = b"") -> bytes:
        message, out = bytearray(modem.MAX_MESSAGE), bytearray(modem.MAX_ENCODED)
        message[0] = kind
        end = payloads.pack_into(modem.TABLES[kind], message, 1, fields)
        message[end : end + len(data)] = data
        return bytes(out[: modem.encode_into(out, message, end + len(data))])

    def uplink(self, data: bytes, rssi: int = -101, snr: int = -14) -> int:
        """It has heard this frame; the token that answers to it."""
        self._token += 1
        self.tell(modem.UPLINK, self.uplink_fields(rssi, snr), data)
        return self._token

    def uplink_fields(self, rssi: int = -101, snr: int = -14) -> dict[str, int]:
        ticks = int(time.monotonic() * 1000) & 0xFFFFFFFF
        return {"token": self._token, "ticks_ms": ticks, "rssi": rssi, "snr": snr}

    def answer(self, token: int, seconds: float = 15) -> bytes:
        """What the gateway has it send in answer to this uplink."""
        return wait_for(lambda: self.sent.get(token), seconds, f"for the answer to {token}")

    def exchange(self, data: bytes) -> bytes:
        return self.answer(self.uplink(data))

    def wait_until_configured(self) -> None:
        wait_for(lambda: self.is_configured, why="for the gateway to configure the modem")

    def _hello(self) -> None:
        fields = {"protocol": modem.PROTOCOL, "firmware": 0x100, "boot_cause": 1, "configured": int(self.is_configured)}
        self.tell(modem.HELLO, fields)

    def _run(self, master: int) -> None:
        decoder = modem.Decoder()
        while not self._unplugged.is_set():
            if not select.select([master], [], [], 0.05)[0]:
                continue
            for byte in os.read(master, 4096):
                length = decoder.push(byte)
                if length and not self.silent:
                    self._take(bytes(decoder.message[:length]))

    def _take(self, message: bytes) -> None:
        table = modem.TABLES[message[0]]
        fields: dict[str, Any] = payloads.unpack(table, message, 1)
        data = message[1 + payloads.size(table) :]
        if message[0] == modem.PING:
            self._hello()
            zeros = {"ticks_ms": 0, "uplinks": 0, "crc_errors": 7, "sent": 0, "garbage": 0, "lost": 2, "restarts": 0}
            self.tell(modem.STATUS, zeros)
        elif message[0] == modem.CONFIGURE:
            self.configured.append(fields)
            self.is_configured = True
            self.tell(modem.CONFIGURED, {"result": 0})
        elif message[0] == modem.TRANSMIT:
            self.sent_fields.append(fields)
            self.sent[fields["token"]] = data
            self.tell(modem.SENT, {"token": fields["token"], "result": self.result, "ticks_ms": 0})
