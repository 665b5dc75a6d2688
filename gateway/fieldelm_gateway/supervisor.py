"""Talks to systemd, where it is what started the gateway: ready, alive, stopping (sd_notify(3)); and how the log is written."""

import json
import logging
import os
import socket
import sys
import time
from typing import Literal

from .clock import rfc3339

Format = Literal["auto", "text", "json"]
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class Supervisor:
    """Who watches over this process, if anybody does."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        try:
            usec = int(os.environ.get("WATCHDOG_USEC", "0"))
            mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        except ValueError:
            usec, mine = 0, False
        self.every_s = usec / 3e6 if mine and usec > 0 else None
        """how often it wants to hear from us"""
        self._due = 0.0

    def tell(self, *lines: str) -> None:
        """Send it a message; without a supervisor nothing happens."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as wire:
                wire.connect(self._address)
                wire.sendall("\n".join(lines).encode())
        except OSError:
            pass  # it has gone, and will see that we stop to speak

    def alive(self) -> None:
        """We work: say so when it is due."""
        if self.every_s is not None and time.monotonic() >= self._due:
            self._due = time.monotonic() + self.every_s
            self.tell("WATCHDOG=1")

    def working(self) -> None:
        """We start or stop, and get on with it: it shall wait for another minute. Call it more often."""
        self.tell("EXTEND_TIMEOUT_USEC=60000000")


class _Json(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": rfc3339(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name.removeprefix("fieldelm_gateway."),
            "thread": record.threadName,
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False)


class _Journal(logging.Formatter):
    """The journal brings time and unit; the priority goes before the line (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITY.get(record.levelno, 5)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def set_up_log(level: str, how: Format) -> None:
    """Write the log to standard error: as text, as JSON, or (auto) for the journal if that is what listens there."""
    handler = logging.StreamHandler(sys.stderr)
    if how == "json":
        handler.setFormatter(_Json())
    elif how == "auto" and _is_journal():
        handler.setFormatter(_Journal("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _is_journal() -> bool:
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(sys.stderr.fileno())
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))
