"""A plant of many nodes with a past, written straight into the database, for whoever looks at a dashboard."""

from __future__ import annotations

import json
import math
import random
import secrets
import struct
from pathlib import Path
from typing import Any

from fieldelm import codes, frame, payloads
from fieldelm_gateway.clock import rfc3339
from fieldelm_gateway.store import Store

_STATUS = struct.Struct(payloads.struct_format(payloads.STATUS))
NAMES = ("Supply fan", "Exhaust fan", "Cooling pump", "Conveyor", "Compressor", "Mixer", "Chiller", "Blower")


def status_payload(state: str, ratio: float, velocity: float, battery_mv: int, temperature: int) -> bytes:
    rest = (
        1,
        0,
        int(ratio * 256),
        int(velocity * 140),
        int(velocity * 100),
        4000,
        battery_mv,
        temperature,
        0,
        0,
        900,
        60,
        7,
        -128,
    )
    return _STATUS.pack(codes.STATES.index(state), *rest)


def fill(database: Path, count: int, now_ms: int, *, hours: int = 24, every_s: int = 900) -> list[dict[str, Any]]:
    """`count` nodes with so many hours of STATUS; every tenth is in alarm, since three hours."""
    generator = random.Random(7)
    store = Store(database, create=True)
    nodes = []
    with store.transaction():
        for number in range(1, count + 1):
            eui = f"02a1b2c3{number:08x}"
            name = f"{NAMES[number % len(NAMES)]} {number}"
            node_id = store.add_node(eui, number, name, f"hall {number % 4 + 1}", 4, secrets.token_bytes(16), now_ms)
            row = store.query("SELECT id FROM node WHERE eui = ?", (eui,))[0]["id"]
            location = f"hall {number % 4 + 1}"
            nodes.append({"eui": eui, "name": name, "location": location, "node_id": node_id, "row": row})
            _past(store, nodes[-1], now_ms, hours, every_s, generator, alarmed=number % 10 == 3)
    store.close()
    return nodes


def _past(
    store: Store,
    node: dict[str, Any],
    now_ms: int,
    hours: int,
    every_s: int,
    generator: random.Random,
    *,
    alarmed: bool,
) -> None:
    level = generator.uniform(0.25, 0.5)
    velocity = generator.uniform(1, 3)
    rows = []
    broken_ms = now_ms - 3 * 3_600_000
    for at in range(now_ms - hours * 3_600_000, now_ms, every_s * 1000):
        broken = alarmed and at >= broken_ms
        wave = 1 + 0.15 * math.sin(at / 7e6) + generator.gauss(0, 0.06)
        ratio = level * wave * (1 + 5 * (at - broken_ms) / 1e7 + 2 if broken else 1)
        payload = status_payload("alarm" if broken else "watching", ratio, velocity * wave, 3000 - (at % 7) * 3, 24)
        rssi = -95 + generator.randrange(8)
        rows.append((node["row"], at, 1, "radio", frame.STATUS, 0, len(rows) + 1, rssi, 6.5, payload, "accepted"))
    store.write_many(
        "INSERT INTO frame (node, received_ms, synced, radio, type, key_id, counter, rssi, snr, payload, outcome)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    last = rows[-1]
    status = {
        "schema": 1,
        "name": node["name"],
        "received_time": rfc3339(last[1]),
        "clock": "synced",
        "state": "alarm" if alarmed else "watching",
        "policy": "auto",
        "verdict": "normal",
        "mode": 1,
        "change_unconfirmed": node["node_id"] % 10 == 5,
        "sensor_fault": None,
        "score_ratio": round(ratio, 3),
        "rms_g": round(velocity * 0.014, 4),
        "rms_velocity_mm_s": round(velocity, 2),
        "learned_rows": 4000,
        "battery_mv": 2990,
        "temperature_c": 24,
        "waiting_events": 0,
        "lost_events": 0,
        "kernels": "native",
        "heartbeat_s": 900,
        "window_period_s": 60,
        "uptime_h": 7,
        "downlink_snr": None,
        "rssi": last[7],
        "snr": 6.5,
        "counter": last[6],
        "lost_before": 0,
    }
    alarm = None
    for sequence, kind in enumerate(("boot", "commissioned", "environment_changed", "relearned"), 1):
        _event(store, node, sequence, kind, now_ms - (20 - sequence * 2) * 3_600_000, None)
    if alarmed:
        alarm = _event(store, node, 5, "machine_alarm", broken_ms, 2.6)
    if alarmed:
        values = [round(abs(generator.gauss(0, 1)), 2) for _ in range(64)]
        values[12], values[25] = 9.4, 6.1
        trace = {
            "schema": 1, "name": node["name"], "location": node["location"], "received_time": rfc3339(last[1]), "clock": "synced",
            "trace": "residuals", "trace_id": 1, "unit": "sigma", "edges_hz": [1.0 + 10 * i for i in range(65)],
            "values": values,
        }  # fmt: skip
        store.write("UPDATE node SET trace_document = ? WHERE id = ?", (json.dumps(trace), node["row"]))
    store.write(
        "UPDATE node SET status_key_id = 0, status_counter = ?, status_document = ?, last_seen_ms = ?, firmware = '0.1.0',"
        " boots = 1, policy = 'auto', kernels = 'native', heartbeat_s = 900, window_period_s = 60, bands = 64, band_low_hz = 1.0,"
        " band_high_hz = 641.0, shaft_hz = ?, alarm_document = ? WHERE id = ?",
        (last[6], json.dumps(status), last[1], 24.7 if node["node_id"] % 2 else None, alarm, node["row"]),
    )


def _event(store: Store, node: dict[str, Any], sequence: int, kind: str, at_ms: int, ratio: float | None) -> str:
    from fieldelm_gateway.alarm import Alarm, dump

    severity = codes.SEVERITY_OF_EVENT[kind]
    bands = [
        {"band": 12, "low_hz": 121.0, "high_hz": 131.0, "orders": [4.9, 5.3]},
        {"band": 25, "low_hz": 251.0, "high_hz": 261.0, "orders": [10.16, 10.57]},
    ]
    document = {
        "schema": 1,
        "id": f"{node['eui']}-c6a1-{sequence}",
        "type": kind,
        "name": node["name"],
        "location": node["location"],
        "event_time": rfc3339(at_ms),
        "received_time": rfc3339(at_ms),
        "clock": "synced",
        "severity": severity,
        "verdict": "anomaly",
        "score_ratio": ratio or 0.4,
        "bands": bands if ratio else [],
        "mode": 1,
        "policy": "auto",
        "age_s": 0,
        "age_saturated": False,
        "delayed": False,
        "rssi": -92,
        "snr": 6.0,
        "counter": 1,
        "lost_before": 0,
    }
    store.write(
        "INSERT INTO event (node, key_check, sequence, event_ms, received_ms, type, severity, document)"
        " VALUES (?, 'c6a1', ?, ?, ?, ?, ?, ?)",
        (node["row"], sequence, at_ms, at_ms, kind, severity, json.dumps(document)),
    )
    alarm = Alarm().with_event({**document, "bands": bands}, at_ms)
    return dump(alarm)
