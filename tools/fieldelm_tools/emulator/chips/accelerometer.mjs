/**
 * What ADXL345 and LIS3DH have in common: samples taken at a constant rate from the moment measuring begins, a FIFO of
 * 32, and interrupt lines. Samples are computed when somebody looks, so that a chip nobody reads costs nothing.
 *
 * The world is a function `signal(ns)` → `[x, y, z]` in g.
 */

export const DEPTH = 32;

export const BYPASS = 0;
export const FIFO = 1;
export const STREAM = 2;
export const TRIGGER = 3;

export class Accelerometer {
  /** `report(text)`: what a program did that the datasheet advises against. */
  constructor(clock, { signal = () => [0, 0, 1], report = () => {}, name }) {
    this.clock = clock;
    this.signal = signal;
    this.name = name;
    this.reports = new Set();
    this.report = (text) => {
      if (this.reports.has(text)) return; // once is enough: it would come with every sample
      this.reports.add(text);
      report(`${name}: ${text}`);
    };
    this.onPin = () => {};
    this.levels = [null, null];
    this.wake = clock.createAlarm(() => this.update());
    this.period = null;
    this.address = null;
    this.powered = false;
  }

  clear() {
    this.queue = [];
    this.latest = [0, 0, 0];
    this.fresh = false; // the latest sample has not been read
    this.overrun = false;
  }

  powerOn() {
    this.powered = true;
    this.reset();
    this.update();
  }

  powerOff() {
    this.powered = false;
    this.stop();
    this.levels.forEach((_, line) => this.setLevel(line, null));
  }

  setInput(name) {
    throw new Error(`the ${this.name} has no input ${name}`);
  }

  // ---- time

  /** Take samples at `hz`, the first one `delay` ns from now. */
  start(hz, delay) {
    this.period = 1e9 / hz;
    this.origin = this.clock.nanos + delay;
    this.taken = 0;
  }

  stop() {
    this.period = null;
    this.wake.cancel();
  }

  sampleTime(number) {
    return this.origin + Math.round(number * this.period);
  }

  /** Take the samples that are due. Of a long gap only those that can still be seen are computed. */
  catchUp() {
    if (this.period === null) return;
    const due = Math.floor((this.clock.nanos - this.origin + 0.5) / this.period) + 1; // their times are rounded, too
    const skipFrom = this.taken + DEPTH + 1;
    const skipTo = due - DEPTH - 1;
    while (this.taken < due) {
      if (this.taken >= skipFrom && this.taken < skipTo) {
        this.taken = skipTo;
        this.overrun = true;
      }
      const time = this.sampleTime(this.taken++);
      this.take(this.measure(this.signal(time)));
    }
  }

  /** A sample is there: into the FIFO, or over the one before it. */
  take(sample) {
    const mode = this.fifoMode;
    if (mode === BYPASS) {
      if (this.fresh) this.overrun = true;
      this.latest = sample;
      this.fresh = true;
    } else if (this.queue.length < this.capacity) {
      this.queue.push(sample);
    } else {
      this.overrun = true;
      if (mode === STREAM) {
        this.queue.shift();
        this.queue.push(sample);
      }
    }
    this.sampled?.(sample);
  }

  get capacity() {
    return DEPTH;
  }

  /** Whether there is a sample to read. */
  get available() {
    return this.fifoMode === BYPASS ? this.fresh : this.queue.length > 0;
  }

  // ---- interrupt lines

  /** Bring samples and lines up to date, and wake up when a line may change. */
  update() {
    this.catchUp();
    this.showLines();
    this.wake.cancel();
    const samples = this.period === null ? null : this.samplesToEvent();
    if (samples !== null) this.wake.at(this.sampleTime(this.taken + samples - 1));
  }

  setLevel(line, level) {
    if (this.levels[line] === level) return;
    this.levels[line] = level;
    this.onPin(`int${line + 1}`, level);
  }

  // ---- buses

  select() {
    this.address = null;
    this.update();
  }

  deselect() {
    this.finish();
    this.address = null;
    this.update();
  }

  i2cStart(reading) {
    if (!this.powered) return false;
    this.update();
    this.viaI2c = true;
    this.reading = reading;
    if (!reading) this.address = null;
    return true;
  }

  i2cStop() {
    this.finish();
    this.update();
  }

  /** What a burst of reads had in hand when it ended. */
  finish() {}
}

/** `[x, y, z]` in g as counts of `perG`, limited to `low`..`high`. */
export function quantize(values, perG, low, high) {
  return values.map((g) => Math.max(low, Math.min(high, Math.round(g * perG))));
}
