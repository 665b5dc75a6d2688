"""One frame that tells the gateway of safe mode, sent without the app that has failed."""

from fieldelm import codes, duty, frame, kernels, payloads
from fieldelm.link import Link
from fieldelm.storage import Counters


def report(config, board):
    """Send a STATUS with the state ``safe_mode``; return whether a gateway has acknowledged it.

    Only the radio, the counters and the key are used. Raises OSError if one of them fails.
    """
    if config["role"] != "node":
        return False
    link = Link(config, board.radio, board.clock, Counters("counters"))
    values = {}
    for name, _ in payloads.STATUS:
        if isinstance(name, tuple):
            for part, _, _ in name:
                values[part] = 0
        else:
            values[name] = 0
    values["state"] = codes.STATES.index("safe_mode")
    values["policy"] = codes.POLICIES.index(config["learn"]["policy"])
    values["kernels_native"] = kernels.NAME == "native"
    values["battery_mv"] = board.battery_mv() or 0
    values["temperature_c"] = round(board.temperature_c())
    values["heartbeat_s"] = config["link"]["heartbeat_s"]
    values["window_period_s"] = int(config["sense"]["period_s"])
    values["downlink_snr"] = -128
    end = payloads.pack_into(payloads.STATUS, link.buffer, link.payload_start(frame.STATUS), values)
    return link.exchange(frame.STATUS, end, True, duty.WARNING) != 0
