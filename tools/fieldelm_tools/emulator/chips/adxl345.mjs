/**
 * ADXL345: 3-axis accelerometer, ±16 g, at the level of its registers, on SPI (4 wires, mode 3) or I2C.
 *
 * Written from Analog Devices' datasheet ADXL345 rev. G. Measuring, FIFO, watermark, overrun, activity, inactivity and free
 * fall are complete; taps and the sleep modes are not there: enabling them is reported.
 */

import { Accelerometer, BYPASS, DEPTH, FIFO, STREAM, TRIGGER, quantize } from './accelerometer.mjs';

const REG = {
  DEVID: 0x00, THRESH_TAP: 0x1d, OFSX: 0x1e, THRESH_ACT: 0x24, THRESH_INACT: 0x25, TIME_INACT: 0x26,
  ACT_INACT_CTL: 0x27, THRESH_FF: 0x28, TIME_FF: 0x29, ACT_TAP_STATUS: 0x2b, BW_RATE: 0x2c,
  POWER_CTL: 0x2d, INT_ENABLE: 0x2e, INT_MAP: 0x2f, INT_SOURCE: 0x30, DATA_FORMAT: 0x31, DATAX0: 0x32, DATAZ1: 0x37,
  FIFO_CTL: 0x38, FIFO_STATUS: 0x39,
}; // prettier-ignore
const READ_ONLY = new Set([REG.DEVID, REG.ACT_TAP_STATUS, REG.INT_SOURCE, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, REG.FIFO_STATUS]);

const DEVICE_ID = 0xe5;
const INT = { DATA_READY: 0x80, ACTIVITY: 0x10, INACTIVITY: 0x08, FREE_FALL: 0x04, WATERMARK: 0x02, OVERRUN: 0x01 };
const MODELLED = INT.DATA_READY | INT.ACTIVITY | INT.INACTIVITY | INT.FREE_FALL | INT.WATERMARK | INT.OVERRUN;
const FORMAT = { SELF_TEST: 0x80, THREE_WIRE: 0x40, INVERT: 0x20, FULL_RES: 0x08, JUSTIFY: 0x04 };

const PER_G = 256; // table 1: 3.9 mg/LSB in full resolution
const OFFSET_G = 0.0156; // a count of OFSX, OFSY, OFSZ
const ACTIVITY_G = 0.0625; // a count of THRESH_ACT, THRESH_INACT and THRESH_FF
const FREE_FALL_S = 0.005; // a count of TIME_FF; one of TIME_INACT is 1 s
const SELF_TEST_G = [0.5, -0.5, 0.8]; // table 1, within its limits at 2.5 V
const TURN_ON_NS = 1_100_000; // "Turn-On Time": 1/rate + 1.1 ms
const FIFO_POP_NS = 5_000; // "Retrieving data from FIFO": between the end of one read and the start of the next

export class Adxl345 extends Accelerometer {
  /** `address`: 0x53, or 0x1D with the pin ALT ADDRESS high. */
  constructor(clock, { name = 'ADXL345', address = 0x53, ...options } = {}) {
    super(clock, { name, ...options });
    this.i2cAddress = address;
    this.i2cMaxHz = 400e3;
    this.spiModes = [3];
    this.spiMaxHz = 5e6;
    this.reset();
  }

  reset() {
    this.stop();
    this.clear();
    this.registers = new Uint8Array(0x3a);
    this.registers[REG.DEVID] = DEVICE_ID;
    this.registers[REG.BW_RATE] = 0x0a;
    this.triggered = false;
    this.activity = false;
    this.reference = null;
    this.calm = { reference: null, samples: 0, seen: false };
    this.falling = { samples: 0, seen: false };
    this.popAt = -Infinity;
    this.dataRead = false;
    this.shown = [0, 0, 0];
  }

  get rate() {
    return 3200 / 2 ** (15 - (this.registers[REG.BW_RATE] & 15)); // table 7
  }

  get format() {
    return this.registers[REG.DATA_FORMAT];
  }

  /** In trigger mode the FIFO is a stream until the trigger, and then fills up. */
  get fifoMode() {
    const mode = this.registers[REG.FIFO_CTL] >> 6;
    if (mode !== TRIGGER) return mode;
    return this.triggered ? FIFO : STREAM;
  }

  /** g → counts, as DATAX, DATAY and DATAZ give them. */
  measure(values) {
    const range = this.format & 3;
    const full = Boolean(this.format & FORMAT.FULL_RES);
    const bits = full ? 10 + range : 10;
    const offset = (i) => ((this.registers[REG.OFSX + i] << 24) >> 24) * OFFSET_G;
    const test = this.format & FORMAT.SELF_TEST ? SELF_TEST_G : [0, 0, 0];
    const moved = values.map((g, i) => g + offset(i) + test[i]);
    const limit = 2 ** (bits - 1);
    const counts = quantize(moved, full ? PER_G : PER_G / 2 ** range, -limit, limit - 1);
    this.detectActivity(moved);
    this.detectInactivity(moved);
    this.detectFreeFall(moved);
    const coarse = this.rate > 800; // "Data formatting at output data rates of 3200 Hz and 1600 Hz": the LSB is 0
    const shift = this.format & FORMAT.JUSTIFY ? 16 - bits : 0;
    return counts.map((count) => (coarse ? count & ~1 : count) << shift);
  }

  /** Register 0x27: direct or relative to the first sample, on the axes named there. */
  detectActivity(values) {
    const control = this.registers[REG.ACT_INACT_CTL] >> 4;
    const threshold = this.registers[REG.THRESH_ACT] * ACTIVITY_G;
    if (!(control & 7) || !threshold) return;
    this.reference ??= control & 8 ? values : [0, 0, 0];
    const active = values.some((g, i) => control & (4 >> i) && Math.abs(g - this.reference[i]) > threshold);
    if (active) this.activity = true;
  }

  /** Registers 0x25 to 0x27: all the axes named there stay below the threshold for so many seconds. */
  detectInactivity(values) {
    const control = this.registers[REG.ACT_INACT_CTL] & 15;
    const { calm } = this;
    if (!(control & 7)) return;
    calm.reference ??= control & 8 ? values : [0, 0, 0];
    const limit = this.registers[REG.THRESH_INACT] * ACTIVITY_G;
    const quiet = values.every((g, i) => !(control & (4 >> i)) || Math.abs(g - calm.reference[i]) < limit);
    calm.samples = quiet ? calm.samples + 1 : 0;
    if (!quiet && control & 8) calm.reference = values;
    if (quiet && calm.samples >= this.registers[REG.TIME_INACT] * this.rate) calm.seen = true;
  }

  /** Registers 0x28 and 0x29: all axes below the threshold for so long. */
  detectFreeFall(values) {
    const limit = this.registers[REG.THRESH_FF] * ACTIVITY_G;
    const { falling } = this;
    falling.samples = values.every((g) => Math.abs(g) < limit) ? falling.samples + 1 : 0;
    if (falling.samples && falling.samples >= this.registers[REG.TIME_FF] * FREE_FALL_S * this.rate) falling.seen = true;
  }

  sampled() {
    const control = this.registers[REG.FIFO_CTL];
    if (control >> 6 !== TRIGGER || this.triggered) return;
    const onPin2 = Boolean(control & 0x20);
    const events = this.source & this.registers[REG.INT_ENABLE] & ~(INT.DATA_READY | INT.WATERMARK | INT.OVERRUN);
    const routed = onPin2 ? events & this.registers[REG.INT_MAP] : events & ~this.registers[REG.INT_MAP];
    if (!routed) return;
    this.triggered = true; // it keeps as many samples from before as the samples bits say
    this.queue = this.queue.slice(-(control & 31) || this.queue.length);
  }

  get source() {
    const samples = this.registers[REG.FIFO_CTL] & 31;
    const watermark = this.fifoMode !== BYPASS && samples > 0 && this.queue.length >= samples;
    return (
      (this.available ? INT.DATA_READY : 0) |
      (this.activity ? INT.ACTIVITY : 0) |
      (this.calm.seen ? INT.INACTIVITY : 0) |
      (this.falling.seen ? INT.FREE_FALL : 0) |
      (watermark ? INT.WATERMARK : 0) |
      (this.overrun ? INT.OVERRUN : 0)
    );
  }

  showLines() {
    const active = this.source & this.registers[REG.INT_ENABLE];
    const map = this.registers[REG.INT_MAP];
    const invert = this.format & FORMAT.INVERT ? 1 : 0;
    [active & ~map, active & map].forEach((bits, line) => this.setLevel(line, Number(bits !== 0) ^ invert));
  }

  /** After how many samples a line may change; `null`: never, as things are. */
  samplesToEvent() {
    const enabled = this.registers[REG.INT_ENABLE];
    const events = [];
    if (enabled & (INT.DATA_READY | INT.ACTIVITY | INT.INACTIVITY | INT.FREE_FALL)) events.push(1);
    const samples = this.registers[REG.FIFO_CTL] & 31;
    if (enabled & INT.WATERMARK && this.queue.length < samples) events.push(samples - this.queue.length);
    if (enabled & INT.OVERRUN && !this.overrun) {
      events.push(this.fifoMode === BYPASS ? 1 : DEPTH + 1 - this.queue.length);
    }
    return events.length ? Math.min(...events) : null;
  }

  // ---- registers

  read(address) {
    if (address >= REG.DATAX0 && address <= REG.DATAZ1) return this.readData(address - REG.DATAX0);
    switch (address) {
      case REG.INT_SOURCE: {
        const { source } = this;
        this.activity = this.calm.seen = this.falling.seen = false;
        return source;
      }
      case REG.FIFO_STATUS:
        this.settle();
        return (this.triggered ? 0x80 : 0) | this.queue.length;
      default:
        return this.registers[address] ?? 0;
    }
  }

  /** The oldest sample of the FIFO leaves it when the read has ended, and the next one takes its place 5 µs later. */
  settle() {
    if (this.clock.nanos < this.popAt) this.report('FIFO read within 5 µs of the last read ("Retrieving data from FIFO")');
    else if (this.fifoMode !== BYPASS && this.queue.length) [this.shown] = this.queue;
    if (this.fifoMode === BYPASS) this.shown = this.latest;
  }

  readData(offset) {
    if (!this.dataRead) this.settle();
    this.dataRead = true;
    if (this.viaI2c && this.rate > 800) this.report(`${this.rate} Hz is too fast for I2C at 400 kHz (table 7, note: 800 Hz)`);
    const value = this.shown[offset >> 1] & 0xffff;
    return offset & 1 ? value >> 8 : value & 0xff;
  }

  finish() {
    if (!this.dataRead) return;
    this.dataRead = false;
    this.fresh = false;
    this.overrun = false; // "Overrun … is cleared when data is read"
    if (this.fifoMode === BYPASS) return;
    this.queue.shift();
    this.popAt = this.clock.nanos + FIFO_POP_NS;
  }

  write(address, value) {
    if (READ_ONLY.has(address) || address >= this.registers.length) return;
    const before = this.registers[address];
    this.registers[address] = value;
    if (address === REG.POWER_CTL) {
      if (value & 8 && !(before & 8)) {
        this.clear();
        this.start(this.rate, 1e9 / this.rate + TURN_ON_NS);
      } else if (!(value & 8)) this.stop();
      if (value & 0x34) this.report('sleep and link modes are not modelled');
    } else if (address === REG.BW_RATE && this.period !== null) {
      this.start(this.rate, 1e9 / this.rate);
    } else if (address === REG.FIFO_CTL && value >> 6 !== before >> 6) {
      this.queue = [];
      this.overrun = false;
      this.triggered = false;
    } else if (address === REG.INT_ENABLE && value & ~MODELLED) {
      this.report(`INT_ENABLE 0x${value.toString(16)} has interrupts that are not modelled`);
    } else if (address === REG.ACT_INACT_CTL) {
      this.reference = null;
      this.calm = { reference: null, samples: 0, seen: false };
    } else if (address === REG.DATA_FORMAT && value & FORMAT.THREE_WIRE) {
      this.report('SPI with 3 wires is not modelled');
    }
  }

  // ---- SPI ("Serial Communications"): R/W, MB (multiple bytes), address

  shiftOut() {
    if (!this.powered || this.address === null || !this.reading) return 0;
    return this.read(this.address);
  }

  shiftIn(byte) {
    if (this.address === null) {
      this.viaI2c = false;
      this.reading = Boolean(byte & 0x80);
      this.multiple = Boolean(byte & 0x40);
      this.address = byte & 0x3f;
      return;
    }
    if (!this.reading) this.write(this.address, byte);
    if (this.multiple) this.address = (this.address + 1) & 0x3f;
  }

  // ---- I2C: the address byte, then data; the address always grows

  i2cWrite(byte) {
    if (this.address === null) this.address = byte & 0x3f;
    else this.write(this.address++ & 0x3f, byte);
    return true;
  }

  i2cRead() {
    return this.read(this.address++ & 0x3f);
  }
}
