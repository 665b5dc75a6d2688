"""On MicroPython: read rows of a recording and say what they were."""

import json
import sys
from array import array

import board

with open("config.json") as file:
    config = json.load(file)
node = board.open(config)
sensor = node.sensor
waveform = sensor.kind == "waveform"
out = array("h" if waveform else "f", bytes(4 * 1024))
first, sums, got = [], [], []
end, same = None, True
for _ in range(int(sys.argv[1])):
    try:
        got.append(sensor.read(out))
    except EOFError as error:
        end = str(error)
        break
    row = out[: sensor.columns]
    first.append(row[0])
    sums.append(sum(row))
    same = same and all([value == row[0] for value in row])
    node.clock.sleep_ms(int(1000 * float(sys.argv[2])))
said = {"first": first, "sums": sums, "got": got, "end": end, "same": same, "now_s": node.clock.world_s()}
for name in ("kind", "axes", "rate_hz", "period_s", "full_scale", "g_per_count"):
    said[name] = getattr(sensor, name)
print(json.dumps(said))
