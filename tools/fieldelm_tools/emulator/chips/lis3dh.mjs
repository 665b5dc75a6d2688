/**
 * LIS3DH: 3-axis accelerometer, ±16 g, at the level of its registers, on SPI (4 wires, mode 0 or 3) or I2C.
 *
 * Written from ST's datasheet LIS3DH (DocID17530 rev. 2). Measuring, FIFO, and data-ready, watermark and overrun on INT1
 * are complete, and so are the first inertial interrupt (high and low events) and the stream that it turns into a FIFO; the
 * auxiliary ADC, 6D, the second interrupt and clicks are not there, and the high-pass filter is reported.
 */

import { Accelerometer, BYPASS, DEPTH, FIFO, STREAM, TRIGGER, quantize } from './accelerometer.mjs';

const REG = {
  WHO_AM_I: 0x0f, CTRL_0: 0x1e, CTRL_1: 0x20, CTRL_2: 0x21, CTRL_3: 0x22, CTRL_4: 0x23, CTRL_5: 0x24, CTRL_6: 0x25, REFERENCE: 0x26,
  STATUS: 0x27, OUT: 0x28, OUT_LAST: 0x2d, FIFO_CTRL: 0x2e, FIFO_SRC: 0x2f,
  INT1_CFG: 0x30, INT1_SRC: 0x31, INT1_THS: 0x32, INT1_DURATION: 0x33,
}; // prettier-ignore
const WRITABLE = new Set([0x1e, 0x1f, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x2e, 0x30, 0x32, 0x33, 0x34, 0x36, 0x37, 0x38, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f]);

const IDENTITY = 0x33;
const CTRL3 = { INERTIAL: 0x40, DATA_READY: 0x10, WATERMARK: 0x04, OVERRUN: 0x02 };
const CTRL4 = { BLOCK_UPDATE: 0x80, BIG_ENDIAN: 0x40, HIGH_RESOLUTION: 0x08 };
const FIFO_ENABLE = 0x40;
const BOOT = 0x80;
const ACTIVE_LOW = 0x02;
const LATCH = 0x08; // CTRL_REG5: LIR_INT1
const AND = 0x80; // INT1_CFG
const SIX_DIRECTIONS = 0x40;
const INERTIAL_ACTIVE = 0x40; // INT1_SRC

/** INT1_THS: mg per count at ±2, ±4, ±8 and ±16 g. */
const THRESHOLD_MG = [16, 32, 62, 186];

/** Table 31: CTRL_REG1, 7..4, in Hz. */
const RATES = [0, 1, 10, 25, 50, 100, 200, 400, 1600, 1344];
const FASTEST_LOW_POWER = 5376;

/** Table 4: mg per digit at ±2, ±4, ±8 and ±16 g for 12, 10 and 8 bits. */
const SENSITIVITY = { 12: [1, 2, 4, 12], 10: [4, 8, 16, 48], 8: [16, 32, 64, 192] };
const FULL_SCALE_G = [2.048, 4.096, 8.192, 16];
const SELF_TEST_G = [0, 0.3, -0.3, 0];

/** Table 9: from power-down to the first valid sample. */
const TURN_ON_NS = { 8: 1_000_000, 10: 1_600_000 };

export class Lis3dh extends Accelerometer {
  /** `address`: 0x18, or 0x19 with the pin SA0 high. */
  constructor(clock, { name = 'LIS3DH', address = 0x18, ...options } = {}) {
    super(clock, { name, ...options });
    this.i2cAddress = address;
    this.i2cMaxHz = 400e3;
    this.spiModes = [0, 3];
    this.spiMaxHz = 10e6;
    this.reset();
  }

  reset() {
    this.stop();
    this.clear();
    this.registers = new Uint8Array(0x40);
    this.registers[REG.WHO_AM_I] = IDENTITY;
    this.registers[REG.CTRL_0] = 0x10;
    this.registers[REG.CTRL_1] = 0x07;
    this.shown = null;
    this.inertial = 0; // INT1_SRC
    this.lasting = 0; // samples for which its condition has held
    this.triggered = false;
  }

  /** Bits of a sample (table 10): 8 in low-power, 12 in high-resolution, 10 in normal mode. */
  get bits() {
    if (this.registers[REG.CTRL_1] & 8) return 8;
    return this.registers[REG.CTRL_4] & CTRL4.HIGH_RESOLUTION ? 12 : 10;
  }

  get rate() {
    const code = this.registers[REG.CTRL_1] >> 4;
    return code === 9 && this.bits === 8 ? FASTEST_LOW_POWER : (RATES[code] ?? 0);
  }

  get fifoMode() {
    if (!(this.registers[REG.CTRL_5] & FIFO_ENABLE)) return BYPASS;
    const mode = this.registers[REG.FIFO_CTRL] >> 6;
    if (mode !== TRIGGER) return mode;
    return this.triggered ? FIFO : STREAM; // stream-to-FIFO (5.1)
  }

  /** g → 16 bits, left-justified. */
  measure(values) {
    const { bits } = this;
    const scale = (this.registers[REG.CTRL_4] >> 4) & 3;
    const test = SELF_TEST_G[(this.registers[REG.CTRL_4] >> 1) & 3];
    const perG = 1000 / SENSITIVITY[bits][scale];
    const limit = Math.min(2 ** (bits - 1), Math.round(FULL_SCALE_G[scale] * perG));
    const enabled = this.registers[REG.CTRL_1] & 7;
    const counts = quantize(values.map((g) => g + test), perG, -limit, limit - 1); // prettier-ignore
    return counts.map((count, axis) => (enabled & (1 << axis) ? count << (16 - bits) : 0));
  }

  /** INT1_CFG to INT1_DURATION: axes above or below a threshold (their amounts), one or all of them, for longer than so long. */
  sampled(sample) {
    const config = this.registers[REG.INT1_CFG];
    const wanted = config & 0x3f;
    if (!wanted) return;
    const scale = (this.registers[REG.CTRL_4] >> 4) & 3;
    const { bits } = this;
    const threshold = (this.registers[REG.INT1_THS] & 0x7f) * THRESHOLD_MG[scale];
    let events = 0;
    sample.forEach((count, axis) => {
      const mg = Math.abs(count >> (16 - bits)) * SENSITIVITY[bits][scale];
      events |= (mg > threshold ? 2 : 1) << (2 * axis);
    });
    const found = events & wanted;
    const holds = config & AND ? found === wanted : found !== 0;
    this.lasting = holds ? this.lasting + 1 : 0;
    if (this.lasting > (this.registers[REG.INT1_DURATION] & 0x7f)) {
      const control = this.registers[REG.FIFO_CTRL];
      this.inertial = INERTIAL_ACTIVE | found;
      if (control >> 6 === TRIGGER && !(control & 0x20)) this.triggered = true; // TR: by the first interrupt
    } else if (!(this.registers[REG.CTRL_5] & LATCH)) this.inertial = 0;
  }

  get watermark() {
    // 5.1.3: at the rise of the watermark, FTH + 1 samples can be read
    return this.fifoMode !== BYPASS && this.queue.length > (this.registers[REG.FIFO_CTRL] & 31);
  }

  /** A full FIFO counts as overrun (8.19): no room for the next sample. */
  get full() {
    return this.fifoMode !== BYPASS && this.queue.length >= DEPTH;
  }

  showLines() {
    const enabled = this.registers[REG.CTRL_3];
    const active =
      (enabled & CTRL3.INERTIAL && this.inertial) ||
      (enabled & CTRL3.DATA_READY && this.available) ||
      (enabled & CTRL3.WATERMARK && this.watermark) ||
      (enabled & CTRL3.OVERRUN && this.full);
    const invert = this.registers[REG.CTRL_6] & ACTIVE_LOW ? 1 : 0;
    this.setLevel(0, Number(Boolean(active)) ^ invert);
    this.setLevel(1, invert);
  }

  samplesToEvent() {
    const enabled = this.registers[REG.CTRL_3];
    const events = [];
    if (enabled & (CTRL3.DATA_READY | CTRL3.INERTIAL)) events.push(1);
    const level = (this.registers[REG.FIFO_CTRL] & 31) + 1;
    if (this.fifoMode !== BYPASS) {
      if (enabled & CTRL3.WATERMARK && this.queue.length < level) events.push(level - this.queue.length);
      if (enabled & CTRL3.OVERRUN && !this.full) events.push(DEPTH - this.queue.length);
    }
    return events.length ? Math.min(...events) : null;
  }

  // ---- registers

  read(address) {
    if (address >= REG.OUT && address <= REG.OUT_LAST) return this.readData(address - REG.OUT);
    switch (address) {
      case REG.STATUS:
        return (this.available ? 0x0f : 0) | (this.overrun ? 0xf0 : 0);
      case REG.FIFO_SRC:
        return this.fifoSource();
      case REG.INT1_SRC: {
        const { inertial } = this;
        this.inertial = 0; // reading it lowers a latched interrupt
        return inertial;
      }
      default:
        return this.registers[address];
    }
  }

  /** WTM, OVRN, EMPTY, and the number of unread samples, of which five bits show 31 at most (8.19). */
  fifoSource() {
    const unread = this.queue.length;
    return (this.watermark ? 0x80 : 0) | (this.full ? 0x40 : 0) | (unread ? 0 : 0x20) | Math.min(unread, 31);
  }

  /** The oldest sample is read from its first byte to its last one, and then gone. */
  readData(offset) {
    const fifo = this.fifoMode !== BYPASS;
    if (offset === 0 || !this.shown) this.shown = fifo ? (this.queue[0] ?? this.latest) : this.latest;
    const value = this.shown[offset >> 1] & 0xffff;
    if (offset === 5) {
      if (fifo && this.queue.length) this.latest = this.queue.shift();
      this.fresh = false;
      this.overrun = false;
      this.shown = null;
    }
    const high = Boolean(offset & 1) !== Boolean(this.registers[REG.CTRL_4] & CTRL4.BIG_ENDIAN);
    return high ? value >> 8 : value & 0xff;
  }

  write(address, value) {
    if (!WRITABLE.has(address)) return;
    const rateBefore = this.rate;
    const before = this.registers[address];
    this.registers[address] = value;
    if (address === REG.CTRL_1 || address === REG.CTRL_4) {
      if (this.rate !== rateBefore) this.restart(rateBefore);
      if (this.registers[REG.CTRL_1] & 8 && this.registers[REG.CTRL_4] & CTRL4.HIGH_RESOLUTION) {
        this.report('LPen and HR are both set, which is not allowed (table 10)');
      }
      if (this.registers[REG.CTRL_1] >> 4 === 8 && this.bits !== 8) this.report('1.6 kHz is for low-power mode only (table 31)');
    } else if (address === REG.CTRL_2 && value) {
      this.report('the high-pass filter is not modelled');
    } else if (address === REG.CTRL_3 && value & ~(CTRL3.INERTIAL | CTRL3.DATA_READY | CTRL3.WATERMARK | CTRL3.OVERRUN)) {
      this.report(`CTRL_REG3 0x${value.toString(16)} has interrupts that are not modelled`);
    } else if (address === REG.CTRL_5) {
      if (value & BOOT) this.registers[address] &= ~BOOT;
      if ((value ^ before) & FIFO_ENABLE) this.queue = [];
    } else if (address === REG.INT1_CFG) {
      this.lasting = 0;
      if (value & SIX_DIRECTIONS) this.report('movement and position in 6 directions are not modelled');
    } else if (address === REG.FIFO_CTRL && value >> 6 === BYPASS) {
      this.triggered = false;
      this.queue = []; // 5.1.1: bypass resets the FIFO
      this.overrun = false;
    }
  }

  restart(rateBefore) {
    const { rate, bits } = this;
    if (!rate) {
      this.stop();
      return;
    }
    const turnOn = rateBefore ? 0 : (TURN_ON_NS[bits] ?? 7e9 / rate);
    this.start(rate, Math.max(turnOn, 1e9 / rate));
  }

  // ---- SPI (6.2): R/W, M/S (the address grows), address

  shiftOut() {
    if (!this.powered || this.address === null || !this.reading) return 0;
    return this.read(this.address);
  }

  shiftIn(byte) {
    if (this.address === null) {
      this.viaI2c = false;
      this.reading = Boolean(byte & 0x80);
      this.grows = Boolean(byte & 0x40);
      this.address = byte & 0x3f;
      return;
    }
    if (!this.reading) this.write(this.address, byte);
    this.advance();
  }

  /** With the FIFO in use a burst goes round the six output registers, so that it can read all of it. */
  advance() {
    if (!this.grows) return;
    if (this.address === REG.OUT_LAST && this.fifoMode !== BYPASS) this.address = REG.OUT;
    else this.address = (this.address + 1) & 0x3f;
  }

  // ---- I2C (6.1.1): the most significant bit of the register address lets it grow

  i2cWrite(byte) {
    if (this.address === null) {
      this.address = byte & 0x3f;
      this.grows = Boolean(byte & 0x80);
    } else {
      this.write(this.address, byte);
      this.advance();
    }
    return true;
  }

  i2cRead() {
    const value = this.read(this.address);
    this.advance();
    return value;
  }
}
