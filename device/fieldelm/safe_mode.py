"""One frame that tells the gateway of safe mode, sent without the app that has failed."""

from fieldelm import codes, duty, frame, kernels, payloads
from fieldelm.link import Link
from fieldelm.settings import Settings
from fieldelm.storage import Counters


class _Configured:
    # what the settings want of a node

    def __init__(self, config):
        self.config = config


def _restore(config):
    # what commands have set: a gateway expects the tag that it has asked for; the power is that of the installation
    output_power = config["radio"]["output_power"]
    try:
        Settings(_Configured(config)).restore()
    except Exception:  # they are what may have failed
        pass
    config["radio"]["output_power"] = output_power


def report(config, board):
    """Send a STATUS with the state ``safe_mode``; return whether a gateway has acknowledged it.

    Only the radio, the counters, the key and, where they are sound, the settings are used. Raises OSError if the radio or
    the flash fails.
    """
    if config["role"] != "node":
        return False
    _restore(config)
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
    temperature = board.temperature_c()
    values["temperature_c"] = -128 if temperature is None else round(temperature)
    values["heartbeat_s"] = config["link"]["heartbeat_s"]
    values["window_period_s"] = int(config["sense"]["period_s"])
    values["downlink_snr"] = -128
    end = payloads.pack_into(payloads.STATUS, link.buffer, link.payload_start(frame.STATUS), values)
    return bool(link.exchange(frame.STATUS, end, True, duty.WARNING))
