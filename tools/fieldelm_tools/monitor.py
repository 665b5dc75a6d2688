"""`fieldelm monitor`: follow what happens in the terminal, as the broker tells it; every event once."""

import argparse
import json
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from fieldelm import codes
from fieldelm_gateway import config as configuration, documents
from fieldelm_gateway.broker import Arrived, Bell, Connection, ProtocolRefusedError
from fieldelm_gateway.config import GatewayConfig
from fieldelm_gateway.errors import BrokerLostError

_REMEMBERED = 10_000
_PAUSE_S = 2.0
_COLOURS = {"alarm": "\x1b[31;1m", "warning": "\x1b[33m", "info": "", "done": "\x1b[36m"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fieldelm monitor`."""
    parser.add_argument("--config", metavar="FILE", help="configuration of the gateway to follow")
    parser.add_argument("--node", metavar="NODE", help="only this one: its name or EUI")
    parser.add_argument(
        "--severity", choices=codes.SEVERITIES, default="info", help="and what is graver; default: info"
    )
    parser.add_argument("--status", action="store_true", help="every STATUS as well")
    parser.add_argument("--seconds", type=float, metavar="S", help="end after this time; default: on Ctrl-C")
    parser.add_argument("--json", action="store_true", help="one JSON document a line, as published")


def run(args: argparse.Namespace) -> int:
    """Follow until Ctrl-C."""
    config = configuration.load(configuration.find(args.config))
    monitor = Monitor(args, config, colour=sys.stdout.isatty())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    until = None if args.seconds is None else time.monotonic() + args.seconds
    while until is None or time.monotonic() < until:
        try:
            monitor.follow(until)
        except BrokerLostError as error:
            print(f"fieldelm: {error}; trying again", file=sys.stderr, flush=True)
            time.sleep(_PAUSE_S)
    return 0


class Monitor:
    """Prints lines; remembers which events it has shown."""

    def __init__(self, args: argparse.Namespace, config: GatewayConfig, *, colour: bool) -> None:
        self._args = args
        self._config = config
        self._colour = colour
        self._topics = documents.Topics(config.base_topic())
        self._shown: set[str] = set()
        self._order: deque[str] = deque()
        self._protocols: list[str] = ["5", "3.1.1"] if config.mqtt.protocol == "auto" else [config.mqtt.protocol]

    def follow(self, until: float | None) -> None:
        """One connection's life. Raises BrokerLostError."""
        # a will that says nothing, and an identity of its own, so that the gateway keeps its connection
        will = (self._topics.state + "/monitor", "")
        try:
            connection = Connection(
                self._config, self._protocols[0], will, client_id_suffix=f"-monitor-{time.time_ns() % 10**6}"
            )
        except ProtocolRefusedError:
            self._protocols.append(self._protocols.pop(0))
            raise
        bell = Bell()
        try:
            for topic in ("+/event", "+/maintenance", "+/alarm", *(["+/state"] if self._args.status else [])):
                connection.subscribe(f"{self._config.base_topic()}/node/{topic}")
            connection.subscribe(self._topics.state)
            while until is None or time.monotonic() < until:
                connection.wait(bell, 1.0 if until is None else min(1.0, max(until - time.monotonic(), 0)))
                for notice in connection.notices():
                    if isinstance(notice, Arrived):
                        self._take(notice.topic, notice.payload)
        finally:
            connection.close()
            bell.close()

    def _take(self, topic: str, payload: bytes) -> None:
        kind = topic.rsplit("/", 1)[1]
        try:
            document = json.loads(payload)
            self._tell(topic, kind, document)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return  # not the gateway's

    def _tell(self, topic: str, kind: str, document: Mapping[str, Any]) -> None:
        if topic == self._topics.state:
            self._line("done", "-", f"gateway {self._config.gateway.name} is {document['state']}", document)
            return
        eui = topic.split("/")[-2]
        if self._args.node and self._args.node not in (eui, document.get("name")):
            return
        if kind == "event":
            self._event(document)
        elif kind == "maintenance":
            detail = ", ".join(f"{key}: {value}" for key, value in document["detail"].items())
            words = f"{document['action']} by {document['by']} ({document['via']})" + (f": {detail}" if detail else "")
            self._once(document["id"], "done", document["time"], f"{_asset(document)}  {words}", document)
        elif kind == "alarm" and document["shown"] and document["event"]:
            words = f"{_asset(document)}  alarm stands since {document['since']}"
            self._once(document["event"], "alarm", document["since"], words, document)
        elif kind == "state" and self._args.status:
            words = f"{_asset(document)}  {document['state']}, score {document['score_ratio']:.2f}, RSSI {document['rssi']} dBm"
            self._line("info", document["received_time"], words, document)

    def _event(self, document: Mapping[str, Any]) -> None:
        severity = document["severity"]
        if codes.SEVERITIES.index(severity) < codes.SEVERITIES.index(self._args.severity):
            return
        words = f"{_asset(document)}  {document['type'].replace('_', ' ')}, score {document['score_ratio']:.2f}"
        bands = [
            f"{band['low_hz']:g}-{band['high_hz']:g} Hz" for band in document["bands"] if band["low_hz"] is not None
        ]
        if bands and severity == "alarm":
            words += f", {' and '.join(bands)}"
        at = document["event_time"]
        if at is None:
            at, words = document["received_time"], f"{words}, nobody knows when: the node has lost power since"
        self._once(document["id"], severity, at, words, document)

    def _once(self, number: str, severity: str, at: str, words: str, document: Mapping[str, Any]) -> None:
        if number in self._shown:
            return
        self._shown.add(number)
        self._order.append(number)
        if len(self._order) > _REMEMBERED:
            self._shown.discard(self._order.popleft())
        self._line(severity, at, words, document)

    def _line(self, severity: str, at: str, words: str, document: Mapping[str, Any]) -> None:
        if self._args.json:
            print(json.dumps(document), flush=True)
            return
        line = printable(f"{at:<24}  {severity:<7}  {words}")
        if self._colour:
            width = shutil.get_terminal_size().columns
            line = f"{_COLOURS[severity]}{line[:width]}\x1b[0m"
        print(line, flush=True)


def printable(text: str) -> str:
    """What a terminal shows and does not obey."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _asset(document: Mapping[str, Any]) -> str:
    place = f" ({document['location']})" if document.get("location") else ""
    return f"{document.get('name', '?')}{place}"
