"""`fieldelm bench gateway`: frames through the real path, from the serial line to a subscriber of a real Mosquitto.

    modem framing (a pty) → verify → SQLite, durable → answer on the serial line
                                                     → Mosquitto, QoS 1 → subscriber

Every frame is a new event that asks for an acknowledgement. Capacity is measured with many frames waiting, as after a broker's
absence; latency at 200 frames a second, each committed before its answer. The yardstick is the bare rate of the same Mosquitto,
client and payloads, with as many messages in flight, in the same run: frames and bare messages take turns, as what else a machine
does comes and goes.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fieldelm_gateway import documents

from ..errors import FieldelmError, UsageError
from .gateway_surroundings import PATIENCE_S, Modem, Nodes, Subscriber, bare_s, broker

_WINDOW = 1000  # frames handed over and not yet answered: two of the gateway's rounds
_AT_ONCE = 20  # put on the line together
_WARM_UP = 500
_TURN = 2500  # frames, then as many bare messages


@dataclass(frozen=True)
class Figures:
    """One gateway with so many nodes."""

    nodes: int
    bare_per_s: float
    frames_per_s: float
    ratio_to_bare: float
    ack_p50_ms: float
    ack_p99_ms: float
    subscriber_p50_ms: float
    subscriber_p99_ms: float
    cpu_ms_per_frame: float
    rss_mb: float
    bytes_per_event: float
    lost: int
    duplicate_ids: int
    unanswered: int
    """frames whose answer the serial line did not take in time"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fieldelm bench gateway`."""
    parser.add_argument(
        "--nodes", type=int, nargs="+", default=[10, 1000, 10_000], metavar="N", help="default: 10 1000 10000"
    )
    parser.add_argument("--frames", type=int, default=10_000, metavar="N", help="at capacity; default: 10000")
    parser.add_argument("--seconds", type=float, default=10, metavar="S", help="at the given rate; default: 10")
    parser.add_argument(
        "--rate", type=float, default=200, metavar="N", help="frames a second for the latencies; default: 200"
    )
    parser.add_argument("--dashboard", action="store_true", help="with the dashboard on")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the database is; default: a temporary folder")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def run(args: argparse.Namespace) -> int:
    """Measure and print; 1 if a frame was lost or an id came twice."""
    found = []
    if not all(1 <= nodes <= 65_535 for nodes in args.nodes):
        raise UsageError("--nodes is from 1 to 65535")
    if args.frames < 1 or args.seconds * args.rate < 100 or args.seconds <= 0:
        raise UsageError(
            "--frames is at least 1, and --seconds times --rate, the frames for the latencies, at least 100"
        )
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out) as folder, broker(Path(folder)) as port:
        if not args.json:
            print("bare: Mosquitto alone, QoS 1, one publisher, one subscriber, the gateway's client")
        for nodes in args.nodes:
            figures = measure(Path(folder) / str(nodes), port, nodes, args)
            found.append(figures)
            if not args.json:
                print(line(figures))
    if args.json:
        document = asdict(max(found, key=lambda one: one.nodes == 1000))
        print(json.dumps({**document, "by_nodes": [asdict(one) for one in found]}))
    return 1 if any(one.lost or one.duplicate_ids for one in found) else 0


def line(one: Figures) -> str:
    """Figures for people."""
    return (
        f"{one.nodes:>6} nodes: {one.frames_per_s:,.0f} frames/s, {one.ratio_to_bare:.0%} of {one.bare_per_s:,.0f} bare; "
        f"answer p50 {one.ack_p50_ms:.1f} ms, p99 {one.ack_p99_ms:.1f} ms; "
        f"subscriber p50 {one.subscriber_p50_ms:.1f} ms, p99 {one.subscriber_p99_ms:.1f} ms; "
        f"{one.cpu_ms_per_frame:.2f} ms of CPU a frame; {one.rss_mb:.0f} MB; {one.bytes_per_event:.0f} bytes an event; "
        f"{one.lost} lost, {one.duplicate_ids} ids twice, {one.unanswered} unanswered"
    )


# one gateway


def measure(folder: Path, port: int, count: int, args: argparse.Namespace) -> Figures:
    """Start a gateway with so many nodes and send frames through it."""
    folder.mkdir()
    database = folder / "gateway.db"
    nodes = Nodes(database, count)
    serial = Modem(folder / "modem")
    name = f"bench-{count}"
    config = folder / "gateway.toml"
    config.write_text(
        f'[gateway]\nname = "{name}"\n[database]\npath = "{database}"\n[mqtt]\nurl = "mqtt://127.0.0.1:{port}"\n'
        f"[home_assistant]\ndiscovery = false\n[dashboard]\nenabled = {str(args.dashboard).lower()}\n"
        f'listen = "127.0.0.1:8094"\n[[radio]]\nport = "{folder / "modem"}"\nduty_cycle = "unlimited"\n'
    )
    subscriber = Subscriber(port, documents.Topics(f"fieldelm/v1/{name}").event("+"))
    command = [
        sys.executable,
        "-m",
        "fieldelm_tools.cli",
        "gateway",
        "run",
        "--config",
        str(config),
        "--log-level",
        "warning",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        if not serial.configured.wait(30):
            raise FieldelmError(f"the gateway does not start: {(folder / 'log').read_text().strip()[-300:]}")
        warm = nodes.alerts(_WARM_UP)
        _at_capacity(serial, subscriber, warm, process)
        size = _database_bytes(database)
        frames = nodes.alerts(args.frames)
        cpu = bare = took = 0.0
        for first in range(0, args.frames, _TURN):
            turn = frames[first : first + _TURN]
            bare += bare_s(port, len(turn))
            used = _cpu_s(process.pid)
            took += _at_capacity(serial, subscriber, turn, process)
            cpu += _cpu_s(process.pid) - used
        grown = _database_bytes(database) - size
        paced = nodes.alerts(int(args.rate * args.seconds))
        acks, ways = _at_rate(serial, subscriber, paced, args.rate)
        rss_mb = _rss_mb(process.pid)
    except (FieldelmError, OSError) as error:
        if process.poll() is None:
            raise
        raise FieldelmError(f"the gateway has ended: {(folder / 'log').read_text().strip()[-300:]}") from error
    finally:
        process.terminate()
        process.wait(20)
        serial.close()
        subscriber.close()
    sent = {number for number, _ in (*warm, *frames, *paced)}
    figures = Figures(
        nodes=count,
        bare_per_s=round(args.frames / bare, 1),
        frames_per_s=round(args.frames / took, 1),
        ratio_to_bare=round(bare / took, 3),
        ack_p50_ms=_percentile(acks, 50),
        ack_p99_ms=_percentile(acks, 99),
        subscriber_p50_ms=_percentile(ways, 50),
        subscriber_p99_ms=_percentile(ways, 99),
        cpu_ms_per_frame=round(cpu / args.frames * 1000, 3),
        rss_mb=round(rss_mb, 1),
        bytes_per_event=round(grown / args.frames, 1),
        lost=len(sent - subscriber.arrived.keys()),
        duplicate_ids=subscriber.twice,
        unanswered=len(sent) - serial.answers,
    )
    shutil.rmtree(folder)
    return figures


def _at_capacity(
    serial: Modem, subscriber: Subscriber, frames: list[tuple[str, bytes]], gateway: "subprocess.Popen[bytes]"
) -> float:
    messages = [message for _, _, message in serial.uplinks(frames)]
    known = len(subscriber.arrived)
    answered = serial.answers
    began = time.perf_counter()
    sent, seen, since = 0, 0, time.monotonic()
    while sent < len(messages):
        # an answer that the line did not take in time is given up; that its frame was taken, the subscriber tells
        done = max(serial.answers - answered, len(subscriber.arrived) - known)
        room = _WINDOW - (sent - done)
        if room < _AT_ONCE and len(messages) - sent > room:
            time.sleep(0.0005)
            if done != seen:
                seen, since = done, time.monotonic()
            elif time.monotonic() - since > PATIENCE_S or (time.monotonic() - since > 1 and gateway.poll() is not None):
                raise FieldelmError(f"the gateway answers no more after {sent} frames")
            continue
        serial.send(b"".join(messages[sent : sent + _AT_ONCE]))
        sent += min(_AT_ONCE, len(messages) - sent)
    subscriber.wait_for(known + len(frames))
    return time.perf_counter() - began


def _at_rate(
    serial: Modem, subscriber: Subscriber, frames: list[tuple[str, bytes]], rate: float
) -> tuple[list[float], list[float]]:
    serial.answered.clear()
    messages = serial.uplinks(frames)
    sent: list[tuple[str, int, float]] = []
    target = len(subscriber.arrived) + len(frames)
    began = time.perf_counter()
    for number, (event, token, message) in enumerate(messages):
        pause = began + number / rate - time.perf_counter()
        if pause > 0:
            time.sleep(pause)
        sent.append((event, token, time.perf_counter()))
        serial.send(message)
    subscriber.wait_for(target)
    acks = [(serial.answered[token] - at) * 1000 for _, token, at in sent if token in serial.answered]
    ways = [(subscriber.arrived[event] - at) * 1000 for event, _, at in sent if event in subscriber.arrived]
    return acks, ways


def _percentile(values: list[float], percent: int) -> float:
    return round(statistics.quantiles(values, n=100)[percent - 1], 2)


def _database_bytes(path: Path) -> int:
    # pages in use, whether they are in the file yet or in its log
    import sqlite3

    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    status: dict[str, Any] = dict(
        entry.split(":", 1) for entry in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in entry
    )
    return int(status["VmRSS"].split()[0]) / 1024
