/**
 * SX1276 (and 77, 78, 79): LoRa transceiver, at the level of its registers.
 *
 * Written from Semtech's datasheet SX1276/77/78/79 rev. 7; section and table numbers below are its. The LoRa modem is
 * complete but for frequency hopping, continuous transmission and the FSK modem, which are refused and reported.
 */

import { Receiver, frameTimes, receivedBytes, symbolNanos } from './lora.mjs';

const FXOSC = 32e6;
const VERSION = 0x12;

const REG = {
  FIFO: 0x00, OP_MODE: 0x01, FRF_MSB: 0x06, PA_CONFIG: 0x09, FIFO_ADDR_PTR: 0x0d, FIFO_TX_BASE: 0x0e, FIFO_RX_BASE: 0x0f,
  FIFO_RX_CURRENT: 0x10, IRQ_MASK: 0x11, IRQ_FLAGS: 0x12, RX_NB_BYTES: 0x13, RX_HEADER_COUNT: 0x14, RX_PACKET_COUNT: 0x16,
  MODEM_STAT: 0x18, PKT_SNR: 0x19, PKT_RSSI: 0x1a, RSSI: 0x1b, HOP_CHANNEL: 0x1c, MODEM_CONFIG_1: 0x1d, MODEM_CONFIG_2: 0x1e,
  SYMB_TIMEOUT: 0x1f, PREAMBLE: 0x20, PAYLOAD_LENGTH: 0x22, MAX_PAYLOAD: 0x23, HOP_PERIOD: 0x24, FIFO_RX_BYTE: 0x25,
  MODEM_CONFIG_3: 0x26, RSSI_WIDEBAND: 0x2c, DETECT_OPTIMIZE: 0x31, INVERT_IQ: 0x33, DETECTION_THRESHOLD: 0x37,
  SYNC_WORD: 0x39, INVERT_IQ_2: 0x3b, DIO_MAPPING_1: 0x40, DIO_MAPPING_2: 0x41, VERSION: 0x42, PA_DAC: 0x4d,
}; // prettier-ignore

const FSK = { IMAGE_CAL: 0x3b, IRQ_FLAGS_1: 0x3e, IRQ_FLAGS_2: 0x3f };
const IMAGE_CAL_START = 0x40;
const IMAGE_CAL_RUNNING = 0x20;
const IMAGE_CAL_NS = 10_000_000;

/** Table 41: what the registers hold after reset; those not named hold 0. */
const LORA_RESET = {
  0x06: 0x6c, 0x07: 0x80, 0x09: 0x4f, 0x0a: 0x09, 0x0b: 0x2b, 0x0c: 0x20, 0x0e: 0x80, 0x18: 0x10, 0x1d: 0x72, 0x1e: 0x70,
  0x1f: 0x64, 0x21: 0x08, 0x22: 0x01, 0x23: 0xff, 0x26: 0x04, 0x31: 0xc3, 0x33: 0x27, 0x36: 0x03, 0x37: 0x0a, 0x39: 0x12,
  0x3a: 0x52, 0x3b: 0x1d, 0x42: VERSION, 0x44: 0x2d, 0x4b: 0x09, 0x4d: 0x84, 0x61: 0x13, 0x62: 0x0e, 0x63: 0x5b, 0x64: 0xdb,
  0x70: 0xd0,
}; // prettier-ignore
const FSK_RESET = {
  0x0d: 0x08, 0x0e: 0x02, 0x0f: 0x0a, 0x10: 0xff, 0x12: 0x15, 0x13: 0x0b, 0x14: 0x28, 0x15: 0x0c, 0x16: 0x12, 0x17: 0x47,
  0x18: 0x32, 0x19: 0x3e, 0x1f: 0x40, 0x24: 0x05, 0x26: 0x03, 0x27: 0x93, 0x28: 0x55, 0x29: 0x55, 0x2a: 0x55, 0x2b: 0x55,
  0x2c: 0x55, 0x2d: 0x55, 0x2e: 0x55, 0x2f: 0x55, 0x30: 0x90, 0x31: 0x40, 0x32: 0x40, 0x35: 0x0f, 0x39: 0xf5, 0x3a: 0x20,
  0x3b: 0x82, 0x3e: 0x80, 0x3f: 0x40,
}; // prettier-ignore
const READ_ONLY = new Set([0x10, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x25, 0x28, 0x29, 0x2a, 0x2c, 0x42]);

/** 4.1.6: accessed in sleep, standby and synthesizer modes only. */
const STATIC = new Set([
  REG.MODEM_CONFIG_1, REG.MODEM_CONFIG_2, REG.MODEM_CONFIG_3, REG.PREAMBLE, REG.PREAMBLE + 1, REG.PAYLOAD_LENGTH, REG.HOP_PERIOD,
  REG.DETECT_OPTIMIZE, REG.INVERT_IQ, REG.DETECTION_THRESHOLD, REG.SYNC_WORD,
]); // prettier-ignore

const MODE = { SLEEP: 0, STANDBY: 1, FS_TX: 2, TX: 3, FS_RX: 4, RX_CONTINUOUS: 5, RX_SINGLE: 6, CAD: 7 };
const LONG_RANGE = 0x80;
const SHARED_ACCESS = 0x40;

const IRQ = {
  RX_TIMEOUT: 0x80, RX_DONE: 0x40, PAYLOAD_CRC_ERROR: 0x20, VALID_HEADER: 0x10, TX_DONE: 0x08, CAD_DONE: 0x04,
  FHSS_CHANGE: 0x02, CAD_DETECTED: 0x01,
}; // prettier-ignore

/** Table 18: what DIO0 to DIO5 show for each of the four mappings. */
const DIO = [
  [IRQ.RX_DONE, IRQ.TX_DONE, IRQ.CAD_DONE, 0],
  [IRQ.RX_TIMEOUT, IRQ.FHSS_CHANGE, IRQ.CAD_DETECTED, 0],
  [IRQ.FHSS_CHANGE, IRQ.FHSS_CHANGE, IRQ.FHSS_CHANGE, 0],
  [IRQ.CAD_DONE, IRQ.VALID_HEADER, IRQ.PAYLOAD_CRC_ERROR, 0],
  [IRQ.CAD_DETECTED, 0, 0, 0],
  [0, 0, 0, 0],
];

/** RegModemConfig1, 7..4, in Hz. */
const BANDWIDTHS = [7812.5, 10416.667, 15625, 20833.333, 31250, 41666.667, 62500, 125000, 250000, 500000];

// Table 10 and 7.2: start-up of oscillator and synthesizer, reset
const OSCILLATOR_NS = 250_000;
const SYNTHESIZER_NS = 60_000;
const RECEIVER_NS = 71_000;
const RAMP_NS = 40_000;
const POWER_ON_NS = 10_000_000;
const AFTER_RESET_NS = 5_000_000;

const HIGH_BAND = 779e6; // above it the HF port is in use (table 33)

export class Sx1276 {
  /** `radio`: `transmit(frame)`, `abort(frame)`; `report(text)`: what a program did that the datasheet forbids. */
  constructor(clock, { radio, report = () => {}, name = 'SX1276' } = {}) {
    this.clock = clock;
    this.radio = radio;
    this.name = name;
    this.report = (text) => report(`${name}: ${text}`);
    this.spiModes = [0];
    this.spiMaxHz = 10e6;
    this.onPin = () => {};
    this.dio = new Array(6).fill(0);
    this.receiver = new Receiver(clock, 'sx1276', {
      preamble: () => this.preambleFound(),
      header: (reception, good) => this.headerReceived(reception, good),
      done: (reception, good) => this.frameReceived(reception, good),
    });
    this.step = clock.createAlarm(() => this.next());
    this.resetLow = false;
    this.noise = 1;
    this.powered = false;
    this.reset(0);
  }

  powerOn() {
    this.powered = true;
    this.reset(POWER_ON_NS);
  }

  powerOff() {
    this.halt();
    this.powered = false;
    this.reset(0);
  }

  /** Inputs: `reset` (low resets, 7.2.2). */
  setInput(name, level) {
    if (name !== 'reset') throw new Error(`the SX1276 has no input ${name}`);
    const low = !level;
    if (low && !this.resetLow) this.halt();
    if (!low && this.resetLow && this.powered) this.reset(AFTER_RESET_NS);
    this.resetLow = low;
  }

  reset(nanos) {
    this.halt();
    this.readyAt = this.clock.nanos + nanos;
    this.registers = new Uint8Array(128);
    this.fskRegisters = new Uint8Array(128);
    for (const [address, value] of Object.entries(LORA_RESET)) this.registers[address] = value;
    for (const [address, value] of Object.entries(FSK_RESET)) this.fskRegisters[address] = value;
    this.registers[REG.OP_MODE] = 0x09; // FSK, standby
    this.fifo = new Uint8Array(256);
    this.address = null;
    this.rxByte = 0;
    this.headerValid = null;
    this.updatePins();
  }

  get mode() {
    return this.registers[REG.OP_MODE] & 7;
  }

  get lora() {
    return Boolean(this.registers[REG.OP_MODE] & LONG_RANGE);
  }

  // ---- SPI (2.2): address byte with the write bit, then data; the address grows, but for the FIFO's

  select() {
    this.address = null;
  }

  deselect() {
    this.address = null;
  }

  get reachable() {
    return this.powered && !this.resetLow && this.clock.nanos >= this.readyAt;
  }

  shiftOut() {
    if (!this.reachable || this.address === null || this.writing) return 0;
    return this.address === REG.FIFO ? this.readFifo() : this.read(this.address);
  }

  shiftIn(byte) {
    if (!this.reachable) {
      if (this.powered) this.report('addressed while it is in reset (table 10: wait 5 ms after a reset, 10 ms after power-on)');
      return;
    }
    if (this.address === null) {
      this.address = byte & 0x7f;
      this.writing = Boolean(byte & 0x80);
      return;
    }
    if (this.address === REG.FIFO) {
      if (this.writing) this.writeFifo(byte);
      return;
    }
    if (this.writing) this.write(this.address, byte);
    this.address = (this.address + 1) & 0x7f;
  }

  /** 4.1.2.3: the FIFO cannot be accessed in sleep mode. */
  readFifo() {
    if (this.mode === MODE.SLEEP) {
      this.report('FIFO read in sleep mode');
      return 0;
    }
    return this.fifo[this.registers[REG.FIFO_ADDR_PTR]++];
  }

  writeFifo(byte) {
    if (this.mode === MODE.SLEEP) {
      this.report('FIFO written in sleep mode');
      return;
    }
    if (this.working) this.report(`FIFO written in mode ${this.mode} (4.1.6: filled in standby only)`);
    this.fifo[this.registers[REG.FIFO_ADDR_PTR]++] = byte;
  }

  /** Whether it sends or receives. */
  get working() {
    return this.lora && (this.mode === MODE.TX || this.mode >= MODE.RX_CONTINUOUS);
  }

  /** Whether an address means the FSK page (4.1.3, AccessSharedReg). */
  inFskPage(address) {
    if (address < 0x0d || address > 0x3f) return false;
    return !this.lora || Boolean(this.registers[REG.OP_MODE] & SHARED_ACCESS);
  }

  read(address) {
    if (this.inFskPage(address)) return this.fskRegisters[address];
    switch (address) {
      case REG.RSSI:
        return this.rssiRegister(this.receiver.power(this.frequency, this.bandwidth || 125e3));
      case REG.MODEM_STAT:
        return this.modemStatus();
      case REG.FIFO_RX_BYTE:
        return this.rxByte;
      case REG.RSSI_WIDEBAND:
        this.noise = (Math.imul(this.noise, 1103515245) + 12345) >>> 0;
        return (this.noise >>> 16) & 0xff;
      default:
        return this.registers[address];
    }
  }

  write(address, value) {
    if (this.inFskPage(address)) this.writeFsk(address, value);
    else if (address === REG.OP_MODE) this.setMode(value);
    else if (address === REG.IRQ_FLAGS) this.setFlags(this.registers[REG.IRQ_FLAGS] & ~value);
    else if (!READ_ONLY.has(address)) {
      if (this.working && STATIC.has(address) && value !== this.registers[address]) {
        // what is going on keeps its settings: the modem takes them when it starts
        this.report(`register 0x${address.toString(16)} changed in mode ${this.mode} (4.1.6: in standby only)`);
      }
      this.registers[address] = value;
      if (address === REG.DIO_MAPPING_1 || address === REG.DIO_MAPPING_2) this.updatePins();
    }
  }

  writeFsk(address, value) {
    if (address === FSK.IRQ_FLAGS_1 || address === FSK.IRQ_FLAGS_2) return;
    this.fskRegisters[address] = value;
    if (address === FSK.IMAGE_CAL && value & IMAGE_CAL_START) {
      // 2.1.3.8: image and RSSI calibration, in standby
      this.fskRegisters[address] = (value & ~IMAGE_CAL_START) | IMAGE_CAL_RUNNING;
      this.clock.at(this.clock.nanos + IMAGE_CAL_NS, () => (this.fskRegisters[address] &= ~IMAGE_CAL_RUNNING));
    }
  }

  // ---- modes (4.1.5)

  setMode(value) {
    const before = this.mode;
    const old = this.registers[REG.OP_MODE];
    if ((value ^ old) & LONG_RANGE && before !== MODE.SLEEP && (value & 7) !== MODE.SLEEP) {
      // table 41, RegOpMode. A write that also puts the chip to sleep counts: the widespread drivers start it so and read it back
      this.report('LongRangeMode changed outside sleep mode: ignored');
      value = (value & ~LONG_RANGE) | (old & LONG_RANGE);
    }
    const mode = value & 7;
    this.registers[REG.OP_MODE] = value;
    if (mode === before && before !== MODE.CAD) return;
    this.halt();
    if (mode === MODE.SLEEP) {
      this.fifo.fill(0); // 4.1.2.3
      this.registers.fill(0, REG.RX_HEADER_COUNT, REG.RX_PACKET_COUNT + 2);
    }
    if (mode <= MODE.STANDBY || mode === MODE.FS_TX || mode === MODE.FS_RX) return;
    if (!this.lora) {
      this.report('FSK modem used: it is not modelled');
      return;
    }
    const start = (before === MODE.SLEEP ? OSCILLATOR_NS : 0) + (before === MODE.FS_TX || before === MODE.FS_RX ? 0 : SYNTHESIZER_NS);
    if (mode === MODE.TX) this.then(start + RAMP_NS, () => this.startTransmission());
    else if (mode === MODE.CAD) this.then(start + RECEIVER_NS, () => this.startCad());
    else {
      this.rxByte = this.registers[REG.FIFO_RX_BASE];
      this.fifo.fill(0); // 4.1.2.3: cleared of old content at each transition to receive mode
      this.registers.fill(0, REG.RX_HEADER_COUNT, REG.RX_PACKET_COUNT + 2);
      this.then(start + RECEIVER_NS, () => this.startReception());
    }
  }

  then(nanos, next) {
    this.next = next;
    this.step.schedule(nanos);
  }

  /** Whatever the transmitter or receiver is doing ends here. */
  halt() {
    this.step.cancel();
    this.receiver.stop();
    if (this.sending) this.radio.abort(this.sending);
    this.sending = null;
  }

  toStandby() {
    this.halt();
    this.registers[REG.OP_MODE] = (this.registers[REG.OP_MODE] & ~7) | MODE.STANDBY;
  }

  // ---- settings

  word(address, bytes) {
    let value = 0;
    for (let i = 0; i < bytes; i++) value = value * 256 + this.registers[address + i];
    return value;
  }

  get frequency() {
    return (this.word(REG.FRF_MSB, 3) * FXOSC) / 2 ** 19;
  }

  get bandwidth() {
    return BANDWIDTHS[this.registers[REG.MODEM_CONFIG_1] >> 4];
  }

  /** dBm at the antenna: table 41, RegPaConfig and RegPaDac. */
  get power() {
    const config = this.registers[REG.PA_CONFIG];
    const output = config & 15;
    if (config & 0x80) return (this.registers[REG.PA_DAC] & 7) === 7 ? 5 + output : 2 + output;
    return 10.8 + 0.6 * ((config >> 4) & 7) - (15 - output);
  }

  /** The modem's settings, or `null` (and a report) if the modem cannot work with them. */
  settings() {
    const [config1, config2, config3] = [REG.MODEM_CONFIG_1, REG.MODEM_CONFIG_2, REG.MODEM_CONFIG_3].map((r) => this.registers[r]);
    const sf = config2 >> 4;
    const bw = this.bandwidth;
    const cr = ((config1 >> 1) & 7) + 4;
    const explicit = !(config1 & 1);
    const fault =
      sf < 6 || sf > 12 ? `spreading factor ${sf}`
      : !bw ? `bandwidth code ${config1 >> 4}`
      : cr < 5 || cr > 8 ? `coding rate code ${cr - 4}`
      : sf === 6 && explicit ? 'spreading factor 6 with an explicit header (4.1.1.2)'
      : this.registers[REG.HOP_PERIOD] ? 'frequency hopping is not modelled'
      : config2 & 8 ? 'continuous transmission is not modelled'
      : null; // prettier-ignore
    if (fault) {
      this.report(fault);
      return null;
    }
    return {
      freq: this.frequency, sf, bw, cr, explicit,
      crc: Boolean(config2 & 4),
      ldro: Boolean(config3 & 8),
      syncWord: this.registers[REG.SYNC_WORD],
      length: this.registers[REG.PAYLOAD_LENGTH],
      longest: this.registers[REG.MAX_PAYLOAD], // table 41: a header that announces more counts as damaged
    }; // prettier-ignore
  }

  // ---- transmitter (4.1.6)

  startTransmission() {
    const settings = this.settings();
    const length = this.registers[REG.PAYLOAD_LENGTH];
    if (!settings || !length) {
      if (settings) this.report('PayloadLength is 0');
      return;
    }
    const base = this.registers[REG.FIFO_TX_BASE];
    const { freq, sf, bw, cr, explicit, crc, ldro, syncWord } = settings;
    const frame = {
      freq, sf, bw, cr, explicit, crc, ldro, syncWord,
      iq: !(this.registers[REG.INVERT_IQ] & 1), // bit 0 is set for normal transmission
      power: this.power,
      preamble: this.word(REG.PREAMBLE, 2),
      bytes: Uint8Array.from({ length }, (_, i) => this.fifo[(base + i) & 0xff]),
      start_ns: this.clock.nanos,
    }; // prettier-ignore
    frame.end_ns = frame.start_ns + frameTimes(frame).end;
    this.sending = frame;
    this.radio.transmit(frame);
    this.next = () => {
      this.sending = null;
      this.toStandby();
      this.raise(IRQ.TX_DONE);
    };
    this.step.at(frame.end_ns);
  }

  // ---- receiver (4.1.6)

  startReception() {
    const settings = this.settings();
    if (!settings) return;
    const { sf, bw } = settings;
    // 4.1.1.2 and table 41: both registers tell the detector which spreading factor it looks for
    const [optimize, threshold] = sf === 6 ? [5, 0x0c] : [3, 0x0a];
    if ((this.registers[REG.DETECT_OPTIMIZE] & 7) !== optimize || this.registers[REG.DETECTION_THRESHOLD] !== threshold) {
      this.report(`RegDetectOptimize or RegDetectionThreshold does not fit spreading factor ${sf}: deaf`);
      settings.freq = -1;
    }
    const iq = Boolean(this.registers[REG.INVERT_IQ] & 0x40);
    if (iq && this.registers[REG.INVERT_IQ_2] !== 0x19) this.report('RegInvertIQ2 is not 0x19 though RX is inverted');
    this.receiver.listen({ ...settings, iq });
    if (this.mode !== MODE.RX_SINGLE) return;
    const symbols = ((this.registers[REG.MODEM_CONFIG_2] & 3) << 8) | this.registers[REG.SYMB_TIMEOUT];
    if (symbols < 4) this.report(`SymbTimeout of ${symbols} symbols; 4 is the least (4.1.5)`);
    this.expired = false;
    this.then(Math.max(4, symbols) * symbolNanos(sf, bw), () => {
      this.expired = true;
      if (!this.receiver.locked) this.timeOut();
      else this.then(symbolNanos(sf, bw), this.next); // a reception that has begun is finished
    });
  }

  timeOut() {
    this.toStandby();
    this.raise(IRQ.RX_TIMEOUT);
  }

  preambleFound() {}

  headerReceived({ frame }, good) {
    if (!good) return;
    this.count(REG.RX_HEADER_COUNT);
    this.registers[REG.HOP_CHANNEL] = (this.registers[REG.HOP_CHANNEL] & ~0x40) | (frame.crc ? 0x40 : 0);
    this.headerValid = frame.cr - 4;
    this.raise(IRQ.VALID_HEADER);
  }

  frameReceived(reception, good) {
    const { frame, rssi, snr } = reception;
    const single = this.mode === MODE.RX_SINGLE;
    const explicit = !(this.registers[REG.MODEM_CONFIG_1] & 1);
    const bytes = receivedBytes(reception, good);
    const length = explicit ? bytes.length : this.registers[REG.PAYLOAD_LENGTH];
    this.registers[REG.FIFO_RX_CURRENT] = this.rxByte;
    for (let i = 0; i < length; i++) this.fifo[this.rxByte++ & 0xff] = bytes[i] ?? 0;
    this.rxByte &= 0xff;
    this.registers[REG.RX_NB_BYTES] = length;
    this.registers[REG.PKT_SNR] = Math.max(-128, Math.min(127, Math.round(snr * 4)));
    this.registers[REG.PKT_RSSI] = this.packetRssi(rssi, Math.round(snr * 4) / 4);
    const hasCrc = explicit ? frame.crc : this.settings()?.crc;
    if (good) this.count(REG.RX_PACKET_COUNT);
    if (single) this.toStandby();
    this.headerValid = null;
    this.raise(IRQ.RX_DONE | (!good && hasCrc ? IRQ.PAYLOAD_CRC_ERROR : 0));
  }

  count(register) {
    const value = (this.word(register, 2) + 1) & 0xffff;
    this.registers[register] = value >> 8;
    this.registers[register + 1] = value & 0xff;
  }

  /** 5.5.5: strength = offset + PacketRssi + PacketSnr below the noise, offset + 16/15 PacketRssi above it (note 3). */
  packetRssi(dbm, snr) {
    if (snr < 0) return this.rssiRegister(dbm - snr);
    return Math.max(0, Math.min(255, Math.round(((dbm - this.rssiOffset) * 15) / 16)));
  }

  get rssiOffset() {
    return this.frequency >= HIGH_BAND ? -157 : -164;
  }

  rssiRegister(dbm) {
    return Math.max(0, Math.min(255, Math.round(dbm - this.rssiOffset)));
  }

  modemStatus() {
    const { locked, listening } = this.receiver;
    const codingRate = (this.headerValid ?? 0) << 5;
    return codingRate | (locked ? 0x03 : 0x10) | (listening ? 0x04 : 0) | (locked && this.headerValid ? 0x08 : 0);
  }

  // ---- channel activity detection (4.1.6): preambles only

  startCad() {
    const settings = this.settings();
    if (!settings) return;
    const { sf, bw } = settings;
    const since = this.clock.nanos;
    const listen = ((2 ** sf + 32) / bw) * 1e9;
    const process = ((sf * 2 ** sf) / 1.75e6) * 1e9;
    const iq = Boolean(this.registers[REG.INVERT_IQ] & 0x40);
    this.then(listen, () => {
      const found = this.receiver.activity({ ...settings, iq }, since, true);
      this.then(process, () => {
        this.toStandby();
        this.raise(IRQ.CAD_DONE | (found ? IRQ.CAD_DETECTED : 0));
      });
    });
  }

  // ---- interrupts (4.1.2.4, table 17 and 18)

  /** A masked interrupt does not appear in RegIrqFlags. */
  raise(flags) {
    this.setFlags(this.registers[REG.IRQ_FLAGS] | (flags & ~this.registers[REG.IRQ_MASK]));
  }

  setFlags(flags) {
    this.registers[REG.IRQ_FLAGS] = flags;
    this.updatePins();
  }

  updatePins() {
    const mapping = (this.registers[REG.DIO_MAPPING_1] << 8) | this.registers[REG.DIO_MAPPING_2];
    DIO.forEach((meanings, pin) => {
      const shown = meanings[(mapping >> (14 - 2 * pin)) & 3];
      const level = this.lora && this.registers[REG.IRQ_FLAGS] & shown ? 1 : 0;
      if (level === this.dio[pin]) return;
      this.dio[pin] = level;
      this.onPin(`dio${pin}`, level);
    });
  }
}
