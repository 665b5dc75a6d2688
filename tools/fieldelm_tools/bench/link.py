"""`fieldelm bench link`: a simulated week of many nodes on one gateway, with loss, collisions, outages and power cuts.

The node's own code (link, event store, storage, app) on MicroPython, the gateway's own core and database, and the air's
model between them. Only the machines are scripted (link_plan.py). Targets and definitions: docs/reference/link-bench.md.
"""

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from fieldelm import codes, frame, regions
from fieldelm_gateway.config import GatewayConfig

from .. import forgery
from ..errors import UsageError
from . import link_energy, link_plan, link_plot
from .link_energy import INPUTS, Life, Radio
from .link_gateway import Heard
from .link_world import NodeLife, World

SPECTRUM_BINS = 511
"""of a window of 1,024 samples, without DC; one byte each, in steps of half a decibel"""
BANDS = 64
_OF_THE_GATEWAY = (
    "received_time",
    "event_time",
    "clock",
    "rssi",
    "snr",
    "counter",
    "lost_before",
    "delayed",
    "schema",
    "id",
)
_BATTERY_PERIOD_S = 600.0
_ALARM = codes.SEVERITIES.index("alarm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `fieldelm bench link`."""
    parser.add_argument("--nodes", type=int, default=200, metavar="N", help="default: 200")
    parser.add_argument("--days", type=float, default=7, metavar="D", help="simulated days; default: 7")
    parser.add_argument(
        "--loss",
        default="0:0.6",
        metavar="P[:Q]",
        help="share of frames lost on each node's link beside collisions; from P at the first node to Q at the last"
        " (default: 0:0.6)",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of everything that happens; default: 1")
    parser.add_argument(
        "--period", type=int, default=60, metavar="S", help="seconds from window to window; default: 60"
    )
    parser.add_argument(
        "--heartbeat", type=int, default=900, metavar="S", help="seconds from STATUS to STATUS; default: 900"
    )
    parser.add_argument("--sf", type=int, default=9, choices=range(7, 13), help="spreading factor; default: 9")
    parser.add_argument(
        "--freq",
        type=int,
        default=link_plan.Settings.freq_khz,
        metavar="KHZ",
        help="channel in EU868, which decides on the duty cycle; default: 869525, with 10 %%",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=X",
        help="other inputs of the energy table, for example awake_ma=18",
    )
    parser.add_argument("--plot", type=Path, metavar="DIR", help="write SVG figures into DIR")
    parser.add_argument("--json", action="store_true", help="one JSON document")


@dataclasses.dataclass(frozen=True)
class Figures:
    """What --json prints."""

    delivered: int
    lost: int
    duplicate_ids: int
    delay_p50_s: float
    delay_p99_s: float
    node_duty: float
    gateway_duty: float
    alert_bytes: int
    battery_days: float
    energy_ratio_spectra: float
    energy_ratio_json: float


@dataclasses.dataclass(frozen=True)
class Group:
    """Nodes with about the same loss."""

    low: float
    high: float
    nodes: int
    decided: int
    delivered: int
    gave_way: int
    waiting: int
    lost: int
    delays_s: list[float]
    alarm_delays_s: list[float]


@dataclasses.dataclass(frozen=True)
class Energies:
    """Charge on the air of all nodes, mA s: ours, and what the same stream costs otherwise."""

    ours: float
    as_json: float
    spectra: float
    bands: float


def run(args: argparse.Namespace) -> int:
    """Play the week and print what became of it."""
    settings, inputs = read(args)
    if args.plot:
        args.plot.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def progress(text: str) -> None:
        print(f"{text}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="fieldelm-link-") as folder:
        base = GatewayConfig()
        radio = dataclasses.replace(base.radio[0], sf=settings.sf, freq_khz=settings.freq_khz)
        database = dataclasses.replace(base.database, path=str(Path(folder) / "gateway.db"))
        config = dataclasses.replace(base, database=database, radio=(radio,))
        world = World(link_plan.make(settings), Path(folder), config, progress)
        world.run()
    groups = [_group(world, low, high) for low, high in _loss_steps(settings)]
    lives = _lives(world, inputs)
    energies = _energies(world, inputs)
    figures = _figures(world, groups, lives, energies)
    if args.plot:
        link_plot.write(args.plot, world, groups, energies)
    if args.json:
        print(json.dumps(dataclasses.asdict(figures)))
    else:
        _print(world, figures, groups, lives, energies, inputs)
    return 0


def read(args: argparse.Namespace) -> tuple[link_plan.Settings, dict[str, float]]:
    """What was asked for. Raises UsageError."""
    first, _, second = args.loss.partition(":")
    try:
        loss = float(first), float(second or first)
    except ValueError:
        raise UsageError(f"--loss {args.loss}: give one share such as 0.3, or two such as 0:0.6") from None
    if not all(0 <= share < 1 for share in loss):
        raise UsageError(f"--loss {args.loss}: a share is from 0 to below 1")
    if not 1 <= args.nodes <= 1000 or not 0.05 <= args.days <= 366:
        raise UsageError("--nodes is from 1 to 1000, --days from 0.05 to 366")
    if not 1 <= args.period <= 65535 or not 60 <= args.heartbeat <= 65535:
        raise UsageError("--period is from 1 to 65535 s, --heartbeat from 60 to 65535 s")
    inputs = {name: value for name, (value, _, _) in INPUTS.items()}
    for setting in args.set:
        name, _, value = setting.partition("=")
        try:
            inputs[name] = inputs[name] * 0 + float(value)
        except (KeyError, ValueError):
            raise UsageError(f"--set {setting}: give NAME=NUMBER with one of {', '.join(INPUTS)}") from None
    settings = link_plan.Settings(
        args.nodes, args.days, loss, args.seed, args.period, args.heartbeat, args.sf, args.freq
    )
    try:
        regions.hour_us("EU868", args.freq, "125")
    except ValueError:
        raise UsageError(f"--freq {args.freq}: EU868 has no channel of 125 kHz there: try 868100 or 869525") from None
    return settings, inputs


def _loss_steps(settings: link_plan.Settings) -> list[tuple[float, float]]:
    low, high = settings.loss
    if low == high:
        return [(low, high)]
    steps = 4
    return [(low + (high - low) * i / steps, low + (high - low) * (i + 1) / steps) for i in range(steps)]


def heard_by_node(world: World) -> dict[str, dict[int, Heard]]:
    """Events as the consumer has them, by EUI and sequence."""
    found: dict[str, dict[int, Heard]] = {}
    for name, heard in world.gateway.heard.items():
        eui, _, sequence = name.split("-")
        found.setdefault(eui, {})[int(sequence)] = heard
    return found


def _group(world: World, low: float, high: float) -> Group:
    heard = heard_by_node(world)
    last = high == world.plan.settings.loss[1]
    lives = [life for life in world.lives.values() if low <= life.plan.loss < high or (last and life.plan.loss >= high)]
    delays, alarm_delays = [], []
    decided = gave_way = waiting = lost = 0
    for life in lives:
        known = heard.get(life.name, {})
        for sequence, (at_us, severity) in life.decided.items():
            decided += 1
            if sequence in known:
                delay = max(known[sequence].received_ms - at_us / 1000, 0) / 1000
                delays.append(delay)
                if severity == _ALARM:
                    alarm_delays.append(delay)
            elif sequence & 0xFFFF in life.gave_way:
                gave_way += 1
            elif sequence & 0xFFFF in life.waiting:
                waiting += 1
            else:
                lost += 1
    return Group(low, high, len(lives), decided, len(delays), gave_way, waiting, lost, delays, alarm_delays)


def _percentile(values: Sequence[float], percent: int) -> float:
    return (
        statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else float(sum(values))
    )


def _days(world: World) -> float:
    return world.plan.end_ms / link_plan.DAY_MS


def _lives(world: World, inputs: Mapping[str, float]) -> list[Life]:
    node_days = len(world.lives) * _days(world)
    lives = world.lives.values()
    radio = Radio(
        tx_s=sum(life.airtime.total_us for life in lives) / 1e6 / node_days,
        rx_s=sum(life.receive_us for life in lives) / 1e6 / node_days,
        exchanges=sum(life.airtime.frames for life in lives) / node_days,
    )
    period = float(world.plan.settings.period_s)
    ways = [(_BATTERY_PERIOD_S, True), (_BATTERY_PERIOD_S, False), (period, False), (period, True)]
    return [link_energy.life(inputs, radio, period_s, timer=timer) for period_s, timer in ways]


def _stripped(document: str) -> int:
    # what a node would say in JSON: the document that MQTT gets, without what only the gateway knows
    told = {key: value for key, value in json.loads(document).items() if key not in _OF_THE_GATEWAY}
    return len(json.dumps(told, separators=(",", ":")).encode())


def _energies(world: World, inputs: Mapping[str, float]) -> Energies:
    settings = world.plan.settings
    receive_s = sum(life.receive_us for life in world.lives.values()) / 1e6
    ours = link_energy.charge_mas(inputs, sum(life.airtime.total_us for life in world.lives.values()) / 1e6, receive_s)
    events = [_stripped(json.dumps(heard.document)) for heard in world.gateway.heard.values()]
    status = _stripped(world.gateway.status_document) if world.gateway.status_document else 0
    event = round(statistics.mean(events)) if events else status
    sizes = {frame.ALERT: event}
    json_s = sum(
        count * link_energy.airtime_s(sizes.get(kind, status), settings.sf) for (kind, _), count in world.sent.items()
    )
    windows = len(world.lives) * _days(world) * link_energy.DAY_S / settings.period_s
    spectrum_s = windows * link_energy.airtime_s(SPECTRUM_BINS, settings.sf)
    bands_s = windows * link_energy.airtime_s(BANDS, settings.sf)
    return Energies(
        ours=ours,
        as_json=link_energy.charge_mas(inputs, json_s, receive_s),
        spectra=link_energy.charge_mas(inputs, spectrum_s, 0.0),
        bands=link_energy.charge_mas(inputs, bands_s, 0.0),
    )


def _healthy(world: World) -> list[NodeLife]:
    return [life for life in world.lives.values() if life.plan.healthy]


def _figures(world: World, groups: list[Group], lives: list[Life], energies: Energies) -> Figures:
    delays = [delay for group in groups for delay in group.delays_s]
    duration_us = world.plan.end_ms * 1000
    alerts = [length for kind, length in world.sent if kind == frame.ALERT]
    return Figures(
        delivered=sum(group.delivered for group in groups),
        lost=sum(group.lost for group in groups),
        duplicate_ids=sum(1 for heard in world.gateway.heard.values() if heard.copies > 1),
        delay_p50_s=round(_percentile(delays, 50), 2),
        delay_p99_s=round(_percentile(delays, 99), 1),
        node_duty=round(statistics.mean(life.airtime.total_us for life in _healthy(world)) / duration_us, 7),
        gateway_duty=round(world.gateway_airtime.longest_hour_us / 3.6e9, 6),
        alert_bytes=max(alerts, default=0),
        battery_days=round(lives[0].aa_days, 1),
        energy_ratio_spectra=round(energies.spectra / energies.ours, 1),
        energy_ratio_json=round(energies.as_json / energies.ours, 2),
    )


def _print(
    world: World,
    figures: Figures,
    groups: list[Group],
    lives: list[Life],
    energies: Energies,
    inputs: Mapping[str, float],
) -> None:
    settings = world.plan.settings
    count = len(world.lives)
    starts = sum(life.starts for life in world.lives.values()) - count
    away = ", ".join(f"{(end - start) / 60_000:.0f}" for start, end in world.plan.outages)
    print(
        f"{count} nodes, {settings.days:g} days, SF{settings.sf}, seed {settings.seed}: one window in {settings.period_s} s,"
        f" STATUS in {settings.heartbeat_s} s, {settings.freq_khz / 1000:g} MHz"
    )
    print(
        f"{world.frames} frames on the air, {world.collisions} collisions, {starts} power cuts, gateway away for {away} min\n"
    )
    print(
        "loss on the link   nodes  decided  delivered  coalesced  waiting  lost   delay p50   p99     alarm p50   p99"
    )
    for group in groups:
        name = f"{group.low:.0%} to {group.high:.0%}"
        print(
            f"{name:<17}{group.nodes:7}{group.decided:9}{group.delivered:11}{group.gave_way:11}{group.waiting:9}{group.lost:6}"
            f"{_percentile(group.delays_s, 50):10.1f} s{_percentile(group.delays_s, 99):7.0f} s"
            f"{_percentile(group.alarm_delays_s, 50):8.1f} s{_percentile(group.alarm_delays_s, 99):7.0f} s"
        )
    tally = world.gateway.tally
    longest = max(life.airtime.longest_hour_us for life in world.lives.values()) / 3.6e9
    statuses = sum(number for (kind, _), number in world.sent.items() if kind == frame.STATUS)
    print(f"\nids published twice   {figures.duplicate_ids} ({tally['duplicate_events']} resent events recognised)")
    print(f"STATUS, not retried   {world.gateway.statuses} of {statuses} arrived")
    print(
        f"answers               {tally['acknowledged']} acknowledgements,"
        f" {tally['acknowledgements_withheld']} withheld for airtime"
    )
    print(f"frames of nodes       {_frames(world)}")
    print(f"dropped               {_drops(tally)}")
    print(f"alert                 {figures.alert_bytes} bytes on the air")
    print(f"healthy node's week   {figures.node_duty:.4%} of the time on the air (target 0.03 %)")
    print(
        f"busiest hour          node {longest:.3%}, gateway {figures.gateway_duty:.3%} (limit {settings.duty_cycle:.0%})"
    )
    print("\non the air, all nodes     mA s    against ours")
    for name, value in (
        ("alerts and STATUS", energies.ours),
        ("the same in JSON", energies.as_json),
        (f"every spectrum, {SPECTRUM_BINS} B", energies.spectra),
        (f"every row of {BANDS} bands", energies.bands),
    ):
        print(f"{name:<24}{value:12.0f}{value / energies.ours:10.1f} ×")
    print("\nbattery                                   mAh/day  of it radio   2×AA days  18650 days")
    for one in lives:
        way = "external timer" if one.timer else "the Pico's light sleep"
        print(
            f"one window in {one.period_s:4.0f} s, {way:<23}{one.daily_mah:9.2f}{one.radio_mah:13.2f}{one.aa_days:12.0f}"
            f"{one.li_days:12.0f}"
        )
    print(
        "Behind an external timer the board starts anew for every window: the rows count that; the firmware cannot do it yet."
    )
    print(
        "What would change the life on light sleep: the board's 1 mA asleep is most of it, the radio is the smallest part."
    )
    print(f"\n{forgery.table(forgery.rows())}")
    print("\ninput                  value  unit")
    for name, value in inputs.items():
        print(f"{name:<16}{value:12g}  {INPUTS[name][1]:<4} {INPUTS[name][2]}")


def _frames(world: World) -> str:
    kinds = {frame.HELLO: "HELLO", frame.ALERT: "ALERT", frame.STATUS: "STATUS"}
    counts = {
        name: sum(number for (kind, _), number in world.sent.items() if kind == code) for code, name in kinds.items()
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _drops(tally: Mapping[str, int]) -> str:
    found = [
        f"{count} {name.removeprefix('dropped: ')}"
        for name, count in sorted(tally.items())
        if name.startswith("dropped: ") and count
    ]
    return ", ".join(found) or "none"
