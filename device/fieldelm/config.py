"""The node's configuration: one JSON file, read once at start, checked key by key.

``load`` returns nested dicts with every default filled in. What is wrong raises ConfigError, whose text names the file, the
key and the mend; keys of secrets are named, their values never are.
"""

import json
from binascii import unhexlify

from fieldelm import airtime, duty, frame, payloads, regions
from fieldelm.codes import CONSOLES, POLICIES

SCHEMA = 1


class ConfigError(ValueError):
    """The configuration cannot be used; the text says where and what to write instead."""


def _number(low, high, whole=True):
    def check(value):
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            return "a whole number" if whole else "a number"
        if not low <= value <= high:  # false for NaN, too
            return "from %s to %s" % (low, high)
        return None

    return check


def _one_of(*choices):
    def check(value):
        return None if value in choices else "one of " + ", ".join([json.dumps(c) for c in choices])

    return check


def _hex(digits):
    def check(value):
        problem = "%d hex digits" % digits
        if not isinstance(value, str) or len(value) != digits:
            return problem
        try:
            unhexlify(value)
        except ValueError:
            return problem
        return None

    return check


def _text(value):
    return None if isinstance(value, str) and 0 < len(value) <= 64 else "text of 1 to 64 characters"


def _object(value):
    return None if isinstance(value, dict) else "an object"


def _keys(value):
    if not isinstance(value, dict) or not value:
        return 'an object like {"0": "32 hex digits"}'
    for slot, key in value.items():
        if slot not in ("0", "1") or _hex(32)(key):
            return 'an object of key id "0" or "1" to 32 hex digits'
    return None


def _gateways(value):
    if not isinstance(value, list) or not 1 <= len(value) <= 4:
        return "a list of 1 to 4 gateway numbers"
    for number in value:
        if _number(1, 255)(number):
            return "a list of gateway numbers from 1 to 255"
    return None


_REQUIRED = object()

_ANY = {
    "schema": (_REQUIRED, _one_of(SCHEMA)),
    "role": ("node", _one_of("node", "modem")),
    "board": (_REQUIRED, _text),
    "name": (
        "",
        lambda value: None if isinstance(value, str) and len(value) <= 64 else "text of at most 64 characters",
    ),
    "options": ({}, _object),
}

_NODE = {
    "eui": (_REQUIRED, _hex(16)),
    "node_id": (_REQUIRED, _number(1, 65535)),
    "keys": (_REQUIRED, _keys),
    "key_id": (0, _one_of(0, 1)),
    "console": ("events", _one_of(*CONSOLES)),
}

_SECTIONS = {
    "radio": {
        "plan": ("EU868", _one_of(*regions.PLANS)),
        "freq_khz": (868100, _number(137000, 1020000)),
        "sf": (9, _number(7, 12)),
        "bw": ("125", _one_of("62.5", "125", "250", "500")),
        "coding_rate": (5, _number(5, 8)),
        "preamble_len": (8, _number(6, 1000)),
        "output_power": (14, _number(-9, 22)),
    },
    "sense": {
        "kind": ("waveform", _one_of("waveform", "spectrum", "features")),
        "rate_hz": (1600, _number(1, 100000, False)),
        "samples": (1024, _number(16, 2048)),
        "inputs": (511, _number(1, 1024)),
        "lags": (1, _number(1, 16)),
        "axis": ("sum", _one_of("x", "y", "z", "sum")),
        "period_s": (60, _number(0.1, 65535, False)),
        "bands": (64, _number(1, 128)),
        "band_low_hz": (0, _number(0, 50000, False)),
        "band_high_hz": (0, _number(0, 50000, False)),
    },
    "learn": {
        "hidden": (22, _number(1, 64)),
        "seed": (1, _number(0, 0xFFFFFFFF)),
        "policy": ("auto", _one_of(*POLICIES)),
        "threshold_factor": (1.0, _number(0.25, 4, False)),
        "train_rows": (64, _number(8, 100000)),
        "calibration_rows": (32, _number(8, 100000)),
    },
    "link": {
        "heartbeat_s": (900, _number(10, 65535)),
        "tag_bytes": (4, _one_of(4, 8)),
        "gateways": ([1, 2, 3, 4], _gateways),  # a restored gateway goes on with another number
        "battery_low_mv": (2400, _number(0, 10000)),
    },
}


def _fill(where, table, given, open_ended=()):
    if not isinstance(given, dict):
        raise ConfigError("%s: must be an object" % where)
    result = {}
    for key in given:
        if key not in table and key not in open_ended:
            raise ConfigError("%s: unknown key %s; known are %s" % (where, json.dumps(key), ", ".join(sorted(table))))
    for key, (default, check) in table.items():
        value = given.get(key, default)
        if value is _REQUIRED:
            raise ConfigError("%s: key %s is missing" % (where, json.dumps(key)))
        problem = check(value)
        if problem:
            raise ConfigError("%s: %s must be %s" % (where, json.dumps(key), problem))
        result[key] = value
    return result


def problem(section, key, value, radio=None):
    """What this value of a node's configuration must be instead, or None if it is right; ``section`` "" is the top.

    ``radio``: the section of that name, whose plan limits the power; None where only the node knows it.
    """
    what = (_SECTIONS[section] if section else _NODE)[key][1](value)
    return _too_strong(radio, value) if radio and what is None and key == "output_power" else what


def _too_strong(radio, dbm):
    most_dbm = regions.most_dbm(radio["plan"], radio["freq_khz"], radio["bw"])
    if most_dbm is None or dbm <= most_dbm:
        return None
    return "at most %d: the plan %s allows no more at %g MHz" % (most_dbm, radio["plan"], radio["freq_khz"] / 1000)


def _contradiction(sense, learn):
    # what no key is wrong about by itself
    low, high = sense["band_low_hz"], sense["band_high_hz"]
    if high and high <= low:
        return 'sense: "band_high_hz" must be above "band_low_hz"'
    if sense["kind"] != "features":
        if sense["lags"] > 1:
            return 'sense: "lags" above 1 belong to the kind "features": leave them out'
        if low >= sense["rate_hz"] / 2:
            return 'sense: "band_low_hz" must be below half of "rate_hz", %g Hz' % (sense["rate_hz"] / 2)
    elif sense["inputs"] * sense["lags"] > 255:
        return 'sense: "inputs" times "lags" must be at most 255: an event names them with one byte'
    elif learn["train_rows"] < 20:
        return 'learn: "train_rows" must be at least 20 for the kind "features": the first 16 set the scale'
    return None


def _unlawful(radio, tag_bytes):
    # what the plan does not allow: the channel, its power, or frames so long that they never fit into their share of the hour
    try:
        hour_us = regions.hour_us(radio["plan"], radio["freq_khz"], radio["bw"])
    except ValueError as error:
        return error
    too_strong = _too_strong(radio, radio["output_power"])
    if too_strong:
        return '"output_power" must be %s' % too_strong
    if hour_us is None:
        return None
    fragment = payloads.size(payloads.MODEL) + payloads.MODEL_FRAGMENT[radio["sf"] - 7]
    for name, kind, size, share in (
        ("HELLO", frame.HELLO, payloads.size(payloads.HELLO), duty.WARNING),
        ("STATUS", frame.STATUS, payloads.size(payloads.STATUS), duty.ROUTINE),
        ("MODEL", frame.MODEL, fragment, duty.ROUTINE),
    ):
        length = frame.header_bytes(kind) + size + frame.tag_bytes(kind, frame.UPLINK, tag_bytes)
        took = airtime.time_on_air_us(length, radio["sf"], radio["bw"], radio["coding_rate"], radio["preamble_len"])
        if took > hour_us // 100 * share:
            return "a frame %s takes %d ms on the air, and the plan allows %d ms of it an hour: choose a lower %s" % (
                name,
                took // 1000,
                hour_us // 100 * share // 1000,
                '"preamble_len"' if radio["preamble_len"] > 64 else '"sf", or another "freq_khz"',
            )
    return None


def check(given, where="config"):
    """Return the configuration with its defaults filled in. Raises ConfigError.

    A modem has no keys, and the gateway tells it the channel: what is in its section ``radio`` are the defaults.
    """
    if isinstance(given, dict) and given.get("role") == "modem":
        config = _fill("%s of a modem" % where, _ANY, given)
        config["radio"] = _fill(where, _SECTIONS["radio"], {})
        return config
    table = dict(_ANY)
    table.update(_NODE)
    config = _fill(where, table, given, _SECTIONS)
    for section, table in _SECTIONS.items():
        config[section] = _fill("%s: %s" % (where, section), table, given.get(section, {}))
    if str(config["key_id"]) not in config["keys"]:
        raise ConfigError('%s: "key_id" names a key that "keys" does not have' % where)
    unlawful = _unlawful(config["radio"], config["link"]["tag_bytes"])
    if unlawful:
        raise ConfigError("%s: radio: %s" % (where, unlawful))
    sense = config["sense"]
    contradiction = _contradiction(sense, config["learn"])
    if contradiction:
        raise ConfigError("%s: %s" % (where, contradiction))
    from fieldelm import memory  # only now: a modem needs none of it

    too_large = memory.problem(sense, config["learn"])
    if too_large:
        raise ConfigError("%s: %s" % (where, too_large))
    return config


def load(path):
    """Read and check the configuration file. Raises ConfigError."""
    try:
        with open(path) as file:
            given = json.load(file)
    except OSError as error:
        raise ConfigError("%s: cannot be read (%s); provision the node" % (path, error))
    except (ValueError, MemoryError, RuntimeError):  # the last two: nested without end
        raise ConfigError("%s: is not valid JSON; provision the node again or mend the file" % path)
    return check(given, path)
