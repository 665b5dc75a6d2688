"""A recording as a sensor: row files, row by row (format: ``fieldelm_tools/rowfile.py``, which writes them).

"play" in the options is a list of segments, played one after the other:

    {"file": "noisy.rows", "first": 0, "rows": 300, "loop": true, "at_s": 3600}

``file`` is relative to the node's folder; ``first`` and ``rows`` choose a part of it (default: all). A segment begins
when the one before has ended, or at ``at_s`` of the air, whatever comes first; one with ``loop`` starts over until
then. After the last row of the last segment ``read`` raises EOFError. All files must be of one kind, width and number
of axes.

Little-endian, after a header of 32 bytes: 4s magic "FROW", u8 version 1, u8 kind (0 waveform, 1 spectrum, 2
features), u8 axes, u8 0, u32 columns, u32 rows, f32 rate_hz, f32 period_s, i32 full_scale, f32 g_per_count; then the
rows, of int16 (waveform) or float32.
"""

import struct
from array import array

from micropython import const

from fieldelm.config import ConfigError

_HEADER = "<4sBBBBIIffif"
_HEADER_BYTES = const(32)
_KINDS = ("waveform", "spectrum", "features")


def _header(path):
    try:
        with open(path, "rb") as file:
            head = file.read(_HEADER_BYTES)
            size = file.seek(0, 2)
    except OSError as error:
        raise ConfigError("options: play: %s cannot be read (%s)" % (path, error))
    if len(head) < _HEADER_BYTES or head[:5] != b"FROW\x01":
        raise ConfigError("options: play: %s is no row file of version 1; convert the recording again" % path)
    fields = struct.unpack(_HEADER, head)
    width = 2 if fields[2] == 0 else 4
    if fields[2] >= len(_KINDS) or size != _HEADER_BYTES + fields[5] * fields[6] * width:
        raise ConfigError("options: play: %s is truncated; convert the recording again" % path)
    return fields


class Player:
    """The sensor of docs/reference/interfaces.md, section 1. ``clock``: the board's."""

    def __init__(self, config, clock):
        self._clock = clock
        self._segments = config["options"]["play"]
        if not isinstance(self._segments, list) or not self._segments:
            raise ConfigError('options: play: must be a list of segments like {"file": "quiet.rows"}')
        shape = None
        for segment in self._segments:
            if not isinstance(segment, dict) or not isinstance(segment.get("file"), str):
                raise ConfigError('options: play: each segment is an object with "file"')
            fields = _header(segment["file"])
            if shape is not None and (fields[2], fields[3], fields[5]) != shape:
                raise ConfigError("options: play: %s differs in kind, axes or width" % segment["file"])
            shape = (fields[2], fields[3], fields[5])
            first = segment.get("first", 0)
            for key in ("first", "rows", "at_s"):
                if not isinstance(segment.get(key, 0), (int, float) if key == "at_s" else int):
                    raise ConfigError('options: play: "%s" of %s must be a number' % (key, segment["file"]))
            if not 0 <= first < fields[6] or not 0 < segment.get("rows", 1) <= fields[6] - first:
                raise ConfigError("options: play: %s has only %d rows" % (segment["file"], fields[6]))
        _, _, kind, self.axes, _, self.columns, _, self.rate_hz, self.period_s, self.full_scale, self.g_per_count = (
            _header(self._segments[0]["file"])
        )
        self.kind = _KINDS[kind]
        if self.kind != config["sense"]["kind"]:
            raise ConfigError('sense: "kind" is "%s", but the recording is a %s' % (config["sense"]["kind"], self.kind))
        self.rate_hz = self.rate_hz or config["sense"]["rate_hz"]
        self._row = array("h" if kind == 0 else "f", bytes((2 if kind == 0 else 4) * self.columns))
        self._file = None
        self._index = -1
        self._next_segment()

    def _next_segment(self):
        self._index += 1
        if self._file:
            self._file.close()
        segment = self._segments[self._index]
        self._file = open(segment["file"], "rb")
        first = segment.get("first", 0)
        self._start = _HEADER_BYTES + first * self.columns * (2 if self.kind == "waveform" else 4)
        self._rows = segment.get("rows") or _header(segment["file"])[6] - first
        self._played = 0
        self._file.seek(self._start)

    def read(self, out):
        """Copy the next row into ``out``; returns the number of rows: samples of a waveform, else 1."""
        while self._index + 1 < len(self._segments):
            at_s = self._segments[self._index + 1].get("at_s")
            if at_s is None or at_s > self._clock.world_s():
                break
            self._next_segment()
        if self._played == self._rows:
            if self._segments[self._index].get("loop"):
                self._played = 0
                self._file.seek(self._start)
            elif self._index + 1 < len(self._segments):
                self._next_segment()
            else:
                raise EOFError("the recording has ended")
        self._played += 1
        if len(out) < self.columns:
            raise ValueError("a row has %d values, the buffer takes %d" % (self.columns, len(out)))
        self._file.readinto(self._row)
        for i in range(self.columns):
            out[i] = self._row[i]
        if self.kind != "waveform":
            return 1
        samples = self.columns // self.axes
        self._clock.sleep_us(int(samples * 1000000 / self.rate_hz))
        return samples
