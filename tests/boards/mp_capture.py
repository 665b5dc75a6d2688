"""On MicroPython: take windows, write them to the file "windows", say when they were taken and what it cost."""

import gc
import json
import sys
import time
from array import array

with open("config.json") as file:
    config = json.load(file)
count, period_s = int(sys.argv[1]), float(sys.argv[2])

import board  # noqa: E402

gc.collect()
before = gc.mem_alloc()
node = board.open(config)
gc.collect()
model_bytes = gc.mem_alloc() - before
sensor = node.sensor
window = array("h", bytes(2 * config["sense"]["samples"] * sensor.axes))
rows = []
wall_us = 0
with open("windows", "wb") as file:
    for _ in range(count):
        began = node.clock.world_s()
        ticks = time.ticks_us()
        try:
            assert sensor.read(window) == config["sense"]["samples"]
            dead = False
            file.write(window)
        except OSError:
            dead = True
        wall_us += time.ticks_diff(time.ticks_us(), ticks)
        rows.append((began, node.clock.world_s(), dead))
        node.clock.sleep_ms(int(period_s * 1000))
print(
    json.dumps(
        {
            "axes": sensor.axes,
            "g_per_count": sensor.g_per_count,
            "full_scale": sensor.full_scale,
            "rate_hz": sensor.rate_hz,
            "kind": sensor.kind,
            "rows": rows,
            "model_bytes": model_bytes,
            "us_per_window": wall_us // count,
            "battery_mv": node.battery_mv(),
            "temperature_c": node.temperature_c(),
        }
    )
)
