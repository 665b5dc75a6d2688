"""Byte tables of the payloads: the one source of the codec, of the documentation and of the test vectors.

A table is a tuple of fields in the order of their bytes, little-endian. A field is (name, code) with a ``struct`` code, or
has in its name's place a tuple of (name, shift, bits) that share one byte. The comment behind a field is its unit: the
documentation reads it there, since a node needs no words for it. Fixed point is written in the unit (``Q8.8``), and
``pack`` and ``unpack`` work on the raw integers.
"""

import struct

from fieldelm import codes

HELLO = (
    ("firmware", "I"),  # major << 16 | minor << 8 | patch
    ((("boot_cause", 0, 4), ("policy", 4, 2), ("kernels_native", 6, 1), ("model_restored", 7, 1)), "B"),
    ("reports_fault", "B"),  # code of a fault found by the self-test, 0: none
    ("heartbeat_s", "H"),  # s
    ("window_period_s", "H"),  # s
    ("bands", "B"),  # count
    ("band_low_dhz", "I"),  # 0.1 Hz
    ("band_high_dhz", "I"),  # 0.1 Hz
    ("last_sequence", "H"),  # event sequence used last
    ("threshold_factor", "H"),  # Q8.8
    ("output_power", "b"),  # dBm
)

ALERT = (
    ((("event", 0, 5), ("severity", 5, 3)), "B"),
    ((("verdict", 0, 2), ("policy", 2, 2), ("mode", 4, 4)), "B"),
    ("score_ratio", "H"),  # Q8.8, saturates
    ("age_s", "H"),  # s, saturates
    ("band_a", "B"),  # band, 255: none
    ("band_b", "B"),  # band, 255: none
    ("sequence", "H"),  # low 16 bits
)

STATUS = (
    ((("state", 0, 4), ("policy", 4, 2), ("verdict", 6, 2)), "B"),
    ((("mode", 0, 4), ("change_unconfirmed", 4, 1), ("kernels_native", 5, 1), ("reserved", 6, 2)), "B"),
    ("sensor_fault", "B"),  # code, 0: none
    ("score_ratio", "H"),  # Q8.8, saturates
    ("rms_g", "H"),  # 0.1 mg, saturates
    ("rms_velocity", "H"),  # 0.01 mm/s, saturates
    ("learned_rows", "I"),  # rows since the model was reset
    ("battery_mv", "H"),  # mV, 0: unknown
    ("temperature_c", "b"),  # degree C, -128: unknown
    ("waiting_events", "B"),  # events not yet acknowledged, saturates
    ("lost_events", "B"),  # events given up, saturates
    ("heartbeat_s", "H"),  # s
    ("window_period_s", "H"),  # s
    ("uptime_h", "H"),  # h, saturates
    ("downlink_snr", "b"),  # dB of the last downlink heard, -128: none yet
)

ACK = (((("more", 0, 1), ("reserved", 1, 7)), "B"),)

# COMMAND and RESPONSE begin with these fields; arguments or the answer's data follow.
COMMAND = (
    ("command", "B"),  # code
    ("command_sequence", "H"),  # names one command of this gateway to this node
)

RESPONSE = (
    ("command", "B"),  # code
    ("command_sequence", "H"),  # of the command answered
    ("gateway", "B"),  # number of the gateway that sent it
    ("result", "B"),  # code
)

# Arguments of the commands, behind COMMAND's own fields.
ARGUMENTS = {
    "retrain": (),
    "policy": (
        ("policy", "B"),  # code
    ),
    "interval": (
        ("window_period_s", "H"),  # s, 0: leave
        ("heartbeat_s", "H"),  # s, 0: leave
    ),
    "identify": (
        ("seconds", "B"),  # s
    ),
    "reboot": (),
    "commission": (),
    "confirm_change": (),
    "call_fault": (),
    "service": (
        ("minutes", "H"),  # 0: ends it
    ),
    "threshold": (
        ("factor", "H"),  # Q8.8, 0.25 to 4
    ),
    "trace": (
        ("trace", "B"),  # code
    ),
    "config_get": (
        ("key", "B"),  # code
    ),
    "config_set": (
        ("key", "B"),  # code
        ("value", "i"),  # in units of the key
    ),
    "rotate_key": (
        ("slot", "B"),  # key id, 0 or 1
        ("new_key", "16s"),  # AES-128 key
    ),
    "power": (
        ("dbm", "b"),  # dBm
    ),
    "model_get": (
        ("model", "I"),  # CRC-32 of the copy to go on with, 0: a new one
        ("offset", "H"),  # bytes of it that the gateway has
    ),
    "model_put": (
        ("model", "I"),  # CRC-32 of the whole
        ("total", "H"),  # bytes
    ),
}

# What follows RESPONSE's own fields where the result is ok.
ANSWERS = {
    "config_get": (
        ("key", "B"),  # code
        ("value", "i"),  # in units of the key
    ),
    "config_set": (
        ("key", "B"),  # code
        ("value", "i"),  # in units of the key
    ),
}

# TRACE begins with these fields; one byte a band follows, and band i of them is (low + step * byte) / 100.
TRACE = (
    ("trace", "B"),  # code
    ("trace_id", "B"),  # of the command_sequence, its low 8 bits
    ("first", "B"),  # number of the first band here
    ("total", "B"),  # bands in all
    ("low", "h"),  # 0.01 dB or 0.01 sigma
    ("step", "B"),  # 0.01 dB or 0.01 sigma
)

# MODEL begins with these fields, a fragment's bytes follow.
MODEL = (
    ("part", "B"),  # code
    ("model", "I"),  # CRC-32 of the whole
    ("offset", "H"),  # bytes before this fragment
    ("total", "H"),  # bytes of the whole
)

# Bytes of a fragment at SF7 to SF12: 0.3 to 3 s on the air at 125 kHz
MODEL_FRAGMENT = (200, 200, 200, 112, 56, 56)

# Keys of the configuration that commands read and write: section and key of config.json ("" for none), how many units of the
# air one of the configuration's is, the unit, and the strings that a number stands for, if it does. A key's number is its place.
CONFIG_KEYS = (
    None,
    ("link", "heartbeat_s", 1, "s", None),
    ("sense", "period_s", 1, "s", None),
    ("learn", "policy", 1, "", codes.POLICIES),
    ("learn", "threshold_factor", 256, "", None),
    ("radio", "output_power", 1, "dBm", None),
    ("link", "tag_bytes", 1, "bytes", None),
    ("link", "battery_low_mv", 1, "mV", None),
    ("", "console", 1, "", codes.CONSOLES),
)

NO_BAND = 255


def config_key(number):
    """A key's name in commands, as `provision --set` writes it too: ``link.heartbeat_s``, ``console``."""
    section, key = CONFIG_KEYS[number][:2]
    return section + "." + key if section else key


def struct_format(table):
    """The ``struct`` format of a table."""
    return "<" + "".join([field[1] for field in table])


def size(table):
    """Bytes of a table."""
    return struct.calcsize(struct_format(table))


def pack_into(table, buffer, offset, values):
    """Write ``values`` (name to integer, of a code ``16s`` to bytes) into ``buffer`` at ``offset``, return the offset behind.

    Integers that do not fit saturate, since a full counter is worth more than a wrapped one. A missing name raises KeyError.
    """
    for name, code in table:
        if isinstance(name, tuple):
            number = 0
            for part, shift, bits in name:
                number |= min(max(int(values[part]), 0), (1 << bits) - 1) << shift
        elif code[-1] == "s":
            number = values[name]
        else:
            number = int(values[name])
            bits = 8 * struct.calcsize("<" + code)
            if code in "bhi":
                number = min(max(number, -(1 << (bits - 1))), (1 << (bits - 1)) - 1)
            else:
                number = min(max(number, 0), (1 << bits) - 1)
        struct.pack_into("<" + code, buffer, offset, number)
        offset += struct.calcsize("<" + code)
    return offset


def unpack(table, buffer, offset=0):
    """Read a table from ``buffer`` at ``offset``: a dict of name to integer or bytes. Raises ValueError if bytes are missing."""
    if len(buffer) < offset + size(table):
        raise ValueError("payload too short")
    values = {}
    for name, code in table:
        number = struct.unpack_from("<" + code, buffer, offset)[0]
        offset += struct.calcsize("<" + code)
        if isinstance(name, tuple):
            for part, shift, bits in name:
                values[part] = (number >> shift) & ((1 << bits) - 1)
        else:
            values[name] = number
    return values
