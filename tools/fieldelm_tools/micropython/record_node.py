"""Sends raw windows of the node's own sensor over USB: executed on the board, sent there by ``fieldelm record``.

JOB, which is put before this text, is a dict: ``config`` (of a node; its ``sense`` and ``options`` are used), ``count``
(windows, 0: no limit), ``milliseconds`` (0: no limit), ``period_ms`` (from window to window, 0: without a pause). What is sent:

    magic 4s | kind u8 | number u32 | length u32 | payload | CRC-32 of kind to payload

kind 0: JSON, what the sensor is; 1: a window, ``t_ms u32, measured_hz f32, overruns u32``, then the counts; 2: text, why a window
has failed; 3: the end, with nothing or the text of what ended it. Little-endian.
"""

import json
import struct
import sys
import time
from array import array
from binascii import crc32

MAGIC = b"FEr\xb6"
FAILURES = 5  # windows in a row without a sample


def send(kind, number, head, counts=None):
    """Send one message; ``counts``: an array('h') behind the head."""
    data = b"" if counts is None else counts
    length = len(head) + (0 if counts is None else 2 * len(counts))
    header = struct.pack("<4sBII", MAGIC, kind, number, length)
    crc = crc32(data, crc32(head, crc32(header[4:])))
    write = sys.stdout.buffer.write
    write(header)
    write(head)
    write(data)
    write(struct.pack("<I", crc))


def open_sensor(config):
    """The sensor that the configuration names, and nothing else of the board."""
    import board
    from fieldelm import config as checks, pico_board, pico_parts

    settings = checks.check(config)
    description = pico_board.mended(board.description())
    pico_parts.check(settings, description)
    return settings, pico_parts.sensor(settings, description, [])


def record(job):
    """Record until a limit is reached, or Ctrl-C."""
    settings, sensor = open_sensor(job["config"])
    window = array("h", bytes(2 * settings["sense"]["samples"] * sensor.axes))
    head = {
        "sensor": sensor.NAME,
        "rate_hz": sensor.rate_hz,
        "axes": sensor.axes,
        "samples": settings["sense"]["samples"],
        "full_scale": sensor.full_scale,
        "g_per_count": sensor.g_per_count,
    }
    sensor.self_test()
    send(0, 0, json.dumps(head).encode())
    start = due = time.ticks_ms()
    number = failures = 0
    while not job["count"] or number < job["count"]:
        began = time.ticks_diff(time.ticks_ms(), start)
        if job["milliseconds"] and began >= job["milliseconds"]:
            break
        try:
            sensor.read(window)
            failures = 0
            send(1, number, struct.pack("<IfI", began, sensor.measured_hz, sensor.overruns), window)
            number += 1
        except OSError as error:
            failures += 1
            if failures >= FAILURES:
                raise
            send(2, number, str(error).encode())
        due = time.ticks_add(due, job["period_ms"])
        left = time.ticks_diff(due, time.ticks_ms())
        if left > 0:
            time.sleep_ms(left)
        else:
            due = time.ticks_ms()


def main(job):
    """Record, and say why it ended."""
    why = ""
    try:
        record(job)
    except KeyboardInterrupt:
        why = "stopped"
    except Exception as error:  # the program at the other end says it
        why = str(error) if isinstance(error, (OSError, ValueError)) else repr(error)
    send(3, 0, why.encode())


main(JOB)  # noqa: F821
