/**
 * What an accelerometer feels: functions `signal(ns)` → `[x, y, z]` in g, made from a description.
 *
 *     {"constant": [0, 0, 1]}                                            gravity, always added
 *     {"sines": [{"axis": 0, "hz": 50, "g": 0.2, "phase": 0}], …}        phase in radians
 *     {"noise": 0.01, "seed": 1, …}                                      uniform, ± that many g, the same at each instant
 *     {"file": "recording.csv", "rate_hz": 800, "loop": true, …}         rows of x,y,z in g; a header line is allowed
 */

import fs from 'node:fs';

/** A number in -1..1 that belongs to this instant, axis and seed. */
function noiseAt(ns, axis, seed) {
  let h = (Math.floor(ns / 1000) ^ Math.imul(axis + 1, 0x9e3779b1) ^ Math.imul(seed + 1, 0x85ebca6b)) >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
  h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
  return ((h ^ (h >>> 15)) >>> 0) / 0x7fffffff - 1;
}

function recording({ file, rate_hz: rate, loop = true }) {
  if (!(rate > 0)) throw new Error(`signal: ${file} needs rate_hz, samples a second`);
  const rows = [];
  for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
    const row = line.trim().split(/[,;\s]+/).map(Number); // prettier-ignore
    if (row.length >= 3 && row.slice(0, 3).every(Number.isFinite)) rows.push(row.slice(0, 3));
    else if (line.trim() && rows.length) throw new Error(`signal: ${file} has a row that is not x,y,z: ${line.trim()}`);
  }
  if (!rows.length) throw new Error(`signal: ${file} has no rows of x,y,z`);
  return (ns) => {
    const at = Math.floor((ns / 1e9) * rate);
    return rows[loop ? at % rows.length : Math.min(at, rows.length - 1)];
  };
}

/** The signal of a description. Throws an `Error` that says what is wrong with it. */
export function makeSignal({ constant = [0, 0, 1], sines = [], noise = 0, seed = 1, file = null, ...more } = {}) {
  const played = file ? recording({ file, ...more }) : () => [0, 0, 0];
  return (ns) => {
    const values = played(ns).map((g, axis) => g + constant[axis]);
    for (const { axis, hz, g, phase = 0 } of sines) {
      values[axis] += g * Math.sin(2 * Math.PI * (((ns % 1e12) / 1e9) * hz) + phase);
    }
    return noise ? values.map((g, axis) => g + noise * noiseAt(ns, axis, seed)) : values;
  };
}
