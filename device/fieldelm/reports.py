"""What a node reports: the payloads of HELLO, ALERT and STATUS, written into the link's buffer.

Each function takes the node (fieldelm.node.Node) and returns where the payload ends. The byte tables are in ``payloads``.
"""

from micropython import const

from fieldelm import __version__, codes, frame, kernels, payloads

_TRACE_BANDS = const(64)  # a frame: 84 bytes, 0.45 s at SF9


def q8_8(value):
    """A ratio as unsigned Q8.8; not a number and what is beyond saturate."""
    if not value < 255.99:
        return 0xFFFF
    return max(int(value * 256 + 0.5), 0)


def _fixed(value, scale):
    # NaN: unknown, 0 on the air
    return int(value * scale + 0.5) if value == value else 0


def _pack(link, kind, table, values):
    return payloads.pack_into(table, link.buffer, link.payload_start(kind), values)


def hello(node):
    """Who this is, what it runs and where its numbers stand."""
    w = node.watcher
    major, minor, patch = [int(part) for part in __version__.split(".")[:3]]
    low_hz, high_hz = w.band_range_hz()
    return _pack(
        node.link,
        frame.HELLO,
        payloads.HELLO,
        {
            "firmware": major << 16 | minor << 8 | patch,
            "boot_cause": node.board.boot_cause,
            "policy": codes.POLICIES.index(w.policy),
            "kernels_native": kernels.NAME == "native",
            "model_restored": node.model_restored,
            "reports_fault": codes.SENSOR_FAULTS.index(w.sensor_fault or node.fault_at_start),
            "heartbeat_s": node.heartbeat_ms // 1000,
            "window_period_s": node.period_ms // 1000,
            "bands": w.band_count,
            "band_low_dhz": _fixed(low_hz, 10),
            "band_high_dhz": _fixed(high_hz, 10),
            "last_sequence": node.counters.sequence & 0xFFFF,
            "threshold_factor": q8_8(node.config["learn"]["threshold_factor"]),
            "output_power": node.link.output_power,
        },
    )


def alert(node, event):
    """One event that waits (fieldelm.events.Event); its age is counted to now."""
    return _pack(
        node.link,
        frame.ALERT,
        payloads.ALERT,
        {
            "event": event.code,
            "severity": event.severity,
            "verdict": event.verdict,
            "policy": codes.POLICIES.index(node.watcher.policy),
            "mode": event.mode,
            "score_ratio": event.score_ratio,
            "age_s": event.age_s(node.clock.now_ms()),
            "band_a": event.band_a,
            "band_b": event.band_b,
            "sequence": event.sequence & 0xFFFF,
        },
    )


def status(node):
    """The heartbeat: how machine, sensor, battery and link are."""
    w = node.watcher
    link = node.link
    battery = node.board.battery_mv()
    temperature = node.board.temperature_c()
    snr = link.downlink_snr
    return _pack(
        link,
        frame.STATUS,
        payloads.STATUS,
        {
            "state": codes.STATES.index(node.state()),
            "policy": codes.POLICIES.index(w.policy),
            "verdict": codes.VERDICTS.index(w.verdict),
            "mode": w.mode,
            "change_unconfirmed": w.change_unconfirmed,
            "kernels_native": kernels.NAME == "native",
            "reserved": 0,
            "sensor_fault": codes.SENSOR_FAULTS.index(w.sensor_fault),
            "score_ratio": q8_8(node.score_ratio()),
            "rms_g": _fixed(w.rms_g, 10000),
            "rms_velocity": _fixed(w.rms_velocity, 100),
            "learned_rows": w.learned_rows,
            "battery_mv": battery or 0,
            "temperature_c": -128 if temperature is None else max(round(temperature), -127),
            "waiting_events": len(node.events),
            "lost_events": node.events.lost,
            "heartbeat_s": node.heartbeat_ms // 1000,
            "window_period_s": node.period_ms // 1000,
            "uptime_h": node.clock.now_ms() // 3600000,
            "downlink_snr": -128 if snr is None else max(snr // 4, -127),
        },
    )


def trace(node, picture, kind, number, first):
    """Bands from ``first`` on of a picture (fieldelm.trace.Trace): (where the payload ends, the next band)."""
    link = node.link
    values = {
        "trace": kind,
        "trace_id": number & 0xFF,
        "first": first,
        "total": picture.total,
        "low": picture.low,
        "step": picture.step,
    }
    end = _pack(link, frame.TRACE, payloads.TRACE, values)
    last = min(first + _TRACE_BANDS, picture.total)
    for band in range(first, last):
        link.buffer[end] = picture.byte(band)
        end += 1
    while end < link.payload_start(frame.TRACE) + payloads.size(payloads.ALERT):  # nothing shorter is opened
        link.buffer[end] = 0
        end += 1
    return end, last
