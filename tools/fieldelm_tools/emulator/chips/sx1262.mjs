/**
 * SX1262 (and SX1261, SX1268): LoRa transceiver, at the level of its commands.
 *
 * Written from Semtech's datasheet SX1261/2 rev. 2.1; section and table numbers below are its. The LoRa modem is
 * complete; the GFSK modem and test modes are refused.
 */

import { Receiver, frameTimes, noiseFloor, receivedBytes, symbolNanos } from './lora.mjs';

const FXTAL = 32e6;
const TICK_NS = 15_625; // of the timers, 1/64 ms

const MODE = { SLEEP: 'sleep', STBY_RC: 'stby_rc', STBY_XOSC: 'stby_xosc', FS: 'fs', RX: 'rx', TX: 'tx' };
const MODE_BITS = { stby_rc: 2, stby_xosc: 3, fs: 4, rx: 5, tx: 6 }; // table 13-76
const FALLBACK = { 0x20: MODE.STBY_RC, 0x30: MODE.STBY_XOSC, 0x40: MODE.FS };
const STATUS = { RESERVED: 1, DATA_AVAILABLE: 2, TIMEOUT: 3, PROCESSING_ERROR: 4, EXECUTION_FAILURE: 5, TX_DONE: 6 };

const IRQ = {
  TX_DONE: 0x001, RX_DONE: 0x002, PREAMBLE: 0x004, SYNC_WORD: 0x008, HEADER_VALID: 0x010, HEADER_ERROR: 0x020, CRC_ERROR: 0x040,
  CAD_DONE: 0x080, CAD_DETECTED: 0x100, TIMEOUT: 0x200,
}; // prettier-ignore

const ERROR = { PLL_CALIBRATION: 0x04, IMAGE_CALIBRATION: 0x10, XOSC_START: 0x20, PLL_LOCK: 0x40 };

const REGISTER = {
  VERSION: 0x0320, RETENTION: 0x029f, IQ_POLARITY: 0x0736, SYNC_WORD: 0x0740, RANDOM: 0x0819, TX_MODULATION: 0x0889, RX_GAIN: 0x08ac, TX_CLAMP: 0x08d8, OCP: 0x08e7,
  RTC_CONTROL: 0x0902, XTA_TRIM: 0x0911, EVENT_MASK: 0x0944,
}; // prettier-ignore
/** Table 12-1. */
const REGISTER_RESET = {
  0x0736: 0x0d, 0x0740: 0x14, 0x0741: 0x24, 0x0889: 0x01, 0x08ac: 0x94, 0x08d8: 0xc8, 0x08e7: 0x38, 0x0911: 0x05, 0x0912: 0x05,
}; // prettier-ignore

/** Table 13-48: codes of the bandwidths, in Hz. */
const BANDWIDTHS = {
  0x00: 7812.5, 0x08: 10416.667, 0x01: 15625, 0x09: 20833.333, 0x02: 31250, 0x0a: 41666.667, 0x03: 62500, 0x04: 125000,
  0x05: 250000, 0x06: 500000,
}; // prettier-ignore

// Table 8-3: switching times, during which BUSY is high
const SWITCH_NS = {
  cold: 3_500_000, warm: 340_000,
  stby_rc: { stby_xosc: 31_000, fs: 50_000, rx: 83_000, tx: 126_000 },
  stby_xosc: { fs: 40_000, tx: 105_000, rx: 62_000 },
  fs: { rx: 41_000, tx: 76_000 },
  rx: { fs: 15_000, tx: 92_000 },
}; // prettier-ignore
const COMMAND_NS = 1_000; // BUSY after a command that changes no mode
const CALIBRATION_NS = 3_500_000;
const RESET_NS = 5_000_000;

/** dBm that the power amplifier gives with SetTxParams(22), by hpMax (table 13-21; between its rows, a straight line). */
const HP_MAX_DBM = [8, 11, 14, 17, 18.5, 20, 21, 22];

const IMPLICIT_TIMER_EVENT = 0x02; // errata 15.3

/** Errata 15.4 speaks of losses of "longer packets" without a figure; here those of more bytes are lost. */
const SHORT_ENOUGH_BYTES = 64;

/** Not in the datasheet, but every SX1261 and SX1262 says it, and drivers look for it: 16 bytes from 0x0320. */
const VERSION = 'SX1261 V2D 2D02\0';

/** Opcode → [name, numbers of parameter bytes it may have]. Table 11-1 to 11-5. */
const COMMANDS = {
  0x84: ['setSleep', 1], 0x80: ['setStandby', 1], 0xc1: ['setFs', 0], 0x83: ['setTx', 3], 0x82: ['setRx', 3], 0x94: ['setRxDutyCycle', 6],
  0x9f: ['stopTimerOnPreamble', 1], 0xc5: ['setCad', 0], 0x96: ['setRegulatorMode', 1], 0x89: ['calibrate', 1],
  0x98: ['calibrateImage', 2], 0x95: ['setPaConfig', 4], 0x93: ['setFallbackMode', 1], 0x0d: ['writeRegister', 3, 258],
  0x0e: ['writeBuffer', 2, 257], 0x08: ['setDioIrqParams', 8], 0x02: ['clearIrqStatus', 2], 0x9d: ['setDio2AsRfSwitch', 1],
  0x97: ['setDio3AsTcxo', 4], 0x86: ['setFrequency', 4], 0x8a: ['setPacketType', 1], 0x8e: ['setTxParams', 2],
  0x8b: ['setModulationParams', 4, 8], 0x8c: ['setPacketParams', 6, 9], 0x88: ['setCadParams', 7], 0x8f: ['setBufferBase', 2],
  0xa0: ['setSymbolTimeout', 1], 0x07: ['clearDeviceErrors', 2], 0x00: ['resetStats', 0, 6],
}; // prettier-ignore

/** Opcode → bytes that precede the status byte (parameters), and how the answer is made. */
const QUERIES = {
  0xc0: [0, 'nothing'], 0x1d: [2, 'readRegister'], 0x1e: [1, 'readBuffer'], 0x12: [0, 'irqStatus'], 0x13: [0, 'rxBufferStatus'],
  0x14: [0, 'packetStatus'], 0x15: [0, 'rssiInst'], 0x10: [0, 'stats'], 0x17: [0, 'deviceErrors'], 0x11: [0, 'packetTypeAnswer'],
}; // prettier-ignore

const STANDBY_RC_ONLY = new Set(['setRegulatorMode', 'calibrate', 'calibrateImage', 'setDio3AsTcxo']);
const STANDBY_ONLY = new Set(['setSleep', 'setPacketType', 'setRxDutyCycle']);

/** Three bytes of a timer's setting. */
function ticks([high, middle, low]) {
  return (high << 16) | (middle << 8) | low;
}

export class Sx1262 {
  /**
   * `radio`: `transmit(frame)`, `abort(frame)`; `report(text)`: what a program did that the datasheet forbids. What is on
   * the module: `tcxo` (an oscillator that DIO3 powers), `rfSwitch`: `'dio2'`, `'rxen'` (an input of that name), or none.
   */
  constructor(clock, { radio, report = () => {}, name = 'SX1262', tcxo = false, rfSwitch = null } = {}) {
    this.clock = clock;
    this.radio = radio;
    this.name = name;
    this.report = (text) => report(`${name}: ${text}`);
    this.tcxo = tcxo;
    this.rfSwitch = rfSwitch;
    this.spiModes = [0];
    this.spiMaxHz = 16e6;
    this.onPin = () => {};
    this.pins = { busy: 0, dio1: 0, dio2: 0, dio3: 0 };
    this.inputs = { reset: 1, rxen: 0 };
    this.receiver = new Receiver(clock, 'sx1262', {
      preamble: () => this.preambleFound(),
      header: (reception, good) => this.headerReceived(reception, good),
      done: (reception, good) => this.frameReceived(reception, good),
    });
    this.ready = clock.createAlarm(() => this.becomeReady());
    this.step = clock.createAlarm(() => this.next());
    this.timer = clock.createAlarm(() => (this.dutyCycle ? this.doze() : this.timeOut()));
    this.powered = false;
    this.random = 1;
    this.forget();
  }

  powerOn() {
    this.powered = true;
    this.restart(RESET_NS);
  }

  powerOff() {
    this.powered = false;
    this.halt();
    this.ready.cancel();
    for (const pin of Object.keys(this.pins)) this.drive(pin, 0);
  }

  /** Inputs: `reset` (low resets, 8.1), `rxen` (the antenna is on the receiver, where the module has such a switch). */
  setInput(name, level) {
    if (!(name in this.inputs)) throw new Error(`the SX1262 has no input ${name}`);
    const before = this.inputs[name];
    this.inputs[name] = level;
    if (name !== 'reset' || before === level || !this.powered) return;
    if (level) this.restart(RESET_NS);
    else {
      this.halt();
      this.ready.cancel();
      this.drive('busy', 1);
    }
  }

  restart(nanos) {
    this.halt();
    this.forget();
    this.awaken(nanos);
  }

  /** State after a reset, or after a sleep with cold start. */
  forget() {
    this.mode = MODE.STBY_RC;
    this.registers = new Map(Object.entries(REGISTER_RESET).map(([address, value]) => [Number(address), value]));
    this.buffer = new Uint8Array(256);
    Object.assign(this, {
      command: null, commandStatus: STATUS.RESERVED, packetType: 0, frequency: 0, power: 14, fallback: MODE.STBY_RC,
      modulation: null, packet: null, cad: [0, 0, 0, 0, 0, 0, 0], txBase: 0, rxBase: 0, symbolTimeout: 0, stopOnPreamble: false,
      irq: 0, irqMask: 0, dioMasks: [0, 0, 0], dio2Switch: false, tcxoDelay: null, errors: 0, rxStart: 0, rxLength: 0,
      last: { rssi: 0, signal: 0, snr: 0 }, counters: [0, 0, 0], imageBand: [902e6, 928e6], rxSingle: false, paSet: false, paLoss: 0,
    }); // prettier-ignore
    if (this.tcxo) this.errors = ERROR.XOSC_START; // the crystal it looks for at start-up is not there (13.3.6)
    this.updatePins();
  }

  // ---- BUSY (8.3.1) and SPI (10.1)

  awaken(nanos) {
    this.drive('busy', 1);
    this.ready.schedule(nanos);
    this.then = null;
  }

  /** Be busy for so long, then go on. */
  busyFor(nanos, then = null) {
    this.drive('busy', 1);
    this.then = then;
    this.ready.schedule(nanos);
  }

  becomeReady() {
    this.drive('busy', 0);
    const { then } = this;
    this.then = null;
    then?.();
  }

  select() {
    this.command = [];
    this.answer = null;
    this.asleep = this.mode === MODE.SLEEP;
    this.refused = !this.powered || !this.inputs.reset || (!this.asleep && this.pins.busy === 1);
    if (this.asleep && this.powered && this.inputs.reset) this.wake();
  }

  wake() {
    this.halt(); // a duty cycle ends here
    this.mode = MODE.STBY_RC;
    if (!this.warmStart) {
      this.forget();
      this.command = [];
    } else if (!this.retained(REGISTER.RX_GAIN)) this.registers.set(REGISTER.RX_GAIN, REGISTER_RESET[REGISTER.RX_GAIN]);
    this.awaken(this.warmStart ? SWITCH_NS.warm : SWITCH_NS.cold);
  }

  /** 9.6: whether a register is on the list of those that a sleep with warm start keeps besides the settings. */
  retained(address) {
    const list = (i) => this.register(REGISTER.RETENTION + i);
    return Array.from({ length: list(0) }, (_, i) => (list(1 + 2 * i) << 8) | list(2 + 2 * i)).includes(address);
  }

  /** Bits 6..4 chip mode, 3..1 command status (table 13-76). */
  get status() {
    return ((MODE_BITS[this.mode] ?? 0) << 4) | (this.commandStatus << 1);
  }

  shiftOut() {
    if (!this.powered || this.asleep || this.refused) return 0;
    const query = QUERIES[this.command[0]];
    if (!query) return this.status;
    const position = this.command.length - 1 - query[0]; // 0: the status byte
    if (position <= 0) return this.status;
    this.answer ??= this[query[1]](...this.command.slice(1, 1 + query[0]));
    return typeof this.answer === 'function' ? this.answer(position - 1) : (this.answer[position - 1] ?? 0);
  }

  shiftIn(byte) {
    if (this.command) this.command.push(byte);
  }

  deselect() {
    const { command } = this;
    this.command = null;
    if (!command?.length || !this.powered || this.asleep) return;
    if (this.refused) {
      this.report(`command 0x${command[0].toString(16)} while BUSY is high (8.3.1): lost`);
      return;
    }
    const [opcode, ...parameters] = command;
    if (opcode in QUERIES) return;
    const [name, least, most = least] = COMMANDS[opcode] ?? [null];
    if (!name || parameters.length < least || parameters.length > most) {
      this.report(name ? `${name} with ${parameters.length} parameter bytes` : `unknown command 0x${opcode.toString(16)}`);
      this.commandStatus = STATUS.PROCESSING_ERROR;
      this.busyFor(COMMAND_NS);
      return;
    }
    this.execute(name, parameters);
  }

  execute(name, parameters) {
    const standby = this.mode === MODE.STBY_RC || this.mode === MODE.STBY_XOSC;
    if ((STANDBY_RC_ONLY.has(name) && this.mode !== MODE.STBY_RC) || (STANDBY_ONLY.has(name) && !standby)) {
      this.fail(`${name} in mode ${this.mode}`);
      return;
    }
    if (name !== 'clearIrqStatus') this.commandStatus = STATUS.RESERVED; // silicon says TX_DONE until something else is asked
    this.drive('busy', 1);
    this.then = null;
    this.ready.schedule(COMMAND_NS);
    this[name](...parameters);
  }

  /** The command was understood and cannot be carried out. */
  fail(why) {
    this.report(why);
    this.commandStatus = STATUS.EXECUTION_FAILURE;
    this.busyFor(COMMAND_NS);
  }

  reject(why) {
    this.report(why);
    this.commandStatus = STATUS.PROCESSING_ERROR;
  }

  // ---- operating modes (13.1)

  halt() {
    this.step.cancel();
    this.timer.cancel();
    this.receiver.stop();
    if (this.sending) this.radio.abort(this.sending);
    this.sending = null;
    this.dutyCycle = null;
  }

  setSleep(config) {
    this.halt();
    this.warmStart = Boolean(config & 4);
    this.fallAsleep();
  }

  fallAsleep() {
    this.mode = MODE.SLEEP;
    this.buffer.fill(0); // 7.1: not retained
    this.ready.cancel();
    this.drive('busy', 1);
  }

  setStandby(config) {
    if (config > 1) this.reject(`SetStandby(${config})`);
    else if (config === 1) this.enter(MODE.STBY_XOSC);
    else this.enter(MODE.STBY_RC);
  }

  setFs() {
    this.enter(MODE.FS);
  }

  /** Change the mode, taking the time that takes; then call `then`. */
  enter(mode, then = null) {
    const before = this.mode;
    this.halt();
    const oscillator = before === MODE.STBY_RC && mode !== MODE.STBY_RC;
    let nanos = SWITCH_NS[before]?.[mode] ?? COMMAND_NS;
    if (oscillator && this.tcxoDelay !== null) nanos += this.tcxoDelay;
    if (oscillator && this.tcxo && this.tcxoDelay === null) {
      this.errors |= ERROR.XOSC_START;
      this.fail(`no oscillator: SetDIO3AsTcxoCtrl has not been given (13.3.6)`);
      return;
    }
    const pll = mode !== MODE.STBY_RC && mode !== MODE.STBY_XOSC;
    if (pll && !(this.frequency >= 150e6 && this.frequency <= 960e6)) {
      this.errors |= ERROR.PLL_LOCK;
      this.fail(`the synthesizer cannot lock on ${this.frequency} Hz`);
      return;
    }
    this.mode = mode;
    this.updatePins();
    this.busyFor(nanos, then);
  }

  /** After TxDone, RxDone or CadDone (13.1.16). */
  fallBack() {
    this.halt();
    this.mode = this.fallback;
    this.updatePins();
  }

  setFallbackMode(code) {
    if (FALLBACK[code]) this.fallback = FALLBACK[code];
    else this.reject(`SetRxTxFallbackMode(0x${code.toString(16)})`);
  }

  stopTimerOnPreamble(on) {
    this.stopOnPreamble = on === 1;
  }

  setRegulatorMode() {}

  calibrate(mask) {
    if (mask & 0x7f && this.tcxo && this.tcxoDelay === null) this.errors |= ERROR.XOSC_START;
    this.busyFor(CALIBRATION_NS);
  }

  calibrateImage(low, high) {
    this.imageBand = [low * 4e6, high * 4e6];
    this.busyFor(CALIBRATION_NS);
  }

  setPaConfig(dutyCycle, hpMax, device, lut) {
    if (lut !== 1 || device > 1 || dutyCycle > 7 || hpMax > 7) this.reject('SetPaConfig out of range');
    else this.paLoss = 22 - HP_MAX_DBM[hpMax];
    this.registers.set(REGISTER.OCP, device === 1 ? 0x18 : 0x38); // 5.3: 60 or 140 mA anew with every SetPaConfig
    this.paSet = true;
  }

  setDio2AsRfSwitch(on) {
    this.dio2Switch = on === 1;
    this.updatePins();
  }

  setDio3AsTcxo(voltage, ...delay) {
    if (voltage > 7) this.reject(`SetDIO3AsTcxoCtrl: voltage ${voltage}`);
    else this.tcxoDelay = ticks(delay) * TICK_NS;
    this.updatePins();
  }

  // ---- settings (13.4)

  setPacketType(type) {
    this.packetType = type;
    if (type !== 1) this.report('GFSK modem chosen: it is not modelled');
  }

  setFrequency(...bytes) {
    const steps = bytes.reduce((value, byte) => value * 256 + byte, 0);
    this.frequency = (steps * FXTAL) / 2 ** 25;
  }

  setTxParams(power) {
    this.power = (power << 24) >> 24;
    if (this.power < -17 || this.power > 22) this.reject(`SetTxParams: power ${this.power} dBm`);
  }

  setModulationParams(sf, bwCode, cr, ldro) {
    const bw = BANDWIDTHS[bwCode];
    if (this.packetType !== 1) this.fail('SetModulationParams before SetPacketType');
    else if (sf < 5 || sf > 12 || !bw || cr < 1 || cr > 4 || ldro > 1) this.reject(`SetModulationParams(${sf}, ${bwCode}, ${cr}, ${ldro})`);
    else this.modulation = { sf, bw, cr: cr + 4, ldro: ldro === 1 };
  }

  setPacketParams(preambleHigh, preambleLow, header, length, crc, iq) {
    const preamble = (preambleHigh << 8) | preambleLow;
    if (this.packetType !== 1) this.fail('SetPacketParams before SetPacketType');
    else if (!preamble || header > 1 || crc > 1 || !(iq <= 1)) this.reject('SetPacketParams out of range');
    else this.packet = { preamble, explicit: header === 0, length, crc: crc === 1, iq: iq === 1 };
  }

  setCadParams(...parameters) {
    this.cad = parameters;
  }

  setBufferBase(tx, rx) {
    this.txBase = tx;
    this.rxBase = rx;
  }

  setSymbolTimeout(symbols) {
    this.symbolTimeout = symbols;
  }

  clearDeviceErrors() {
    this.errors = 0;
  }

  resetStats() {
    this.counters = [0, 0, 0];
  }

  get syncWord() {
    return (this.register(REGISTER.SYNC_WORD) & 0xf0) | (this.register(REGISTER.SYNC_WORD + 1) >> 4);
  }

  /** Whether the modem has what it needs; fails the command otherwise. */
  complete(what) {
    if (this.packetType === 1 && this.modulation && this.packet) return true;
    this.fail(`${what} before SetPacketType(LoRa), SetModulationParams and SetPacketParams`);
    return false;
  }

  // ---- registers and buffer (13.2)

  register(address) {
    if (address >= REGISTER.RANDOM && address < REGISTER.RANDOM + 4) {
      this.random = (Math.imul(this.random, 1103515245) + 12345) >>> 0;
      return (this.random >>> 16) & 0xff;
    }
    const place = address - REGISTER.VERSION;
    if (place >= 0 && place < VERSION.length) return VERSION.charCodeAt(place);
    return this.registers.get(address) ?? 0;
  }

  writeRegister(high, low, ...values) {
    values.forEach((value, i) => this.registers.set(((high << 8) | low) + i, value));
    if (((high << 8) | low) === REGISTER.RTC_CONTROL && values[0] === 0) this.timerStopped = true;
    const event = this.register(REGISTER.EVENT_MASK) & IMPLICIT_TIMER_EVENT;
    if (this.timerStopped && event && this.mode !== MODE.RX) this.timer.cancel(); // errata 15.3
  }

  readRegister(high, low) {
    return (position) => this.register(((high << 8) | low) + position);
  }

  writeBuffer(offset, ...values) {
    values.forEach((value, i) => (this.buffer[(offset + i) & 0xff] = value));
  }

  readBuffer(offset) {
    return (position) => this.buffer[(offset + position) & 0xff];
  }

  // ---- transmitter

  setTx(...timeout) {
    if (!this.complete('SetTx')) return;
    const { modulation, packet } = this;
    // errata 15.1: bit 2 of TxModulation is 0 at 500 kHz, 1 otherwise
    if (Boolean(this.register(REGISTER.TX_MODULATION) & 4) === (modulation.bw === 500000)) {
      this.report('TxModulation (0x0889) does not fit the bandwidth (15.1): poor modulation');
    }
    this.checkPolarity();
    if (!this.paSet) this.report('SetTx without SetPaConfig');
    this.enter(MODE.TX, () => {
      const wrongWay = this.rfSwitch === 'dio2' && !this.dio2Switch;
      if (wrongWay) this.report('DIO2 is not set as RF switch: the antenna is not on the transmitter');
      const { sf, bw, cr, ldro } = modulation;
      const { preamble, explicit, length, crc, iq } = packet;
      const frame = {
        freq: this.frequency, sf, bw, cr, ldro, preamble, explicit, crc, iq, syncWord: this.syncWord,
        power: this.power - this.paLoss - (wrongWay ? 40 : 0),
        bytes: Uint8Array.from({ length }, (_, i) => this.buffer[(this.txBase + i) & 0xff]),
        start_ns: this.clock.nanos,
      }; // prettier-ignore
      frame.end_ns = frame.start_ns + frameTimes(frame, 'sx1262').end;
      this.sending = frame;
      this.radio.transmit(frame);
      this.next = () => {
        this.sending = null;
        this.fallBack();
        this.commandStatus = STATUS.TX_DONE;
        this.raise(IRQ.TX_DONE);
      };
      this.step.at(frame.end_ns);
      this.startTimer(timeout);
    });
  }

  /** Timeout in steps of 15.625 µs; 0: none. */
  startTimer(bytes) {
    const steps = ticks(bytes);
    if (steps && steps !== 0xffffff) this.timer.schedule(steps * TICK_NS);
    return steps;
  }

  timeOut() {
    this.halt();
    if (this.mode === MODE.RX || this.mode === MODE.TX) this.mode = MODE.STBY_RC;
    this.commandStatus = STATUS.TIMEOUT;
    this.updatePins();
    this.raise(IRQ.TIMEOUT);
  }

  // ---- receiver

  setRx(...timeout) {
    if (!this.complete('SetRx')) return;
    this.checkPolarity();
    this.enter(MODE.RX, () => this.startReception(timeout));
  }

  /** 13.1.7: listen so long, sleep so long with the settings kept, and so on until a packet comes or the host wakes the chip. */
  setRxDutyCycle(...bytes) {
    if (!this.complete('SetRxDutyCycle')) return;
    this.checkPolarity();
    this.rouse({ listening: bytes.slice(0, 3), sleeping: bytes.slice(3) });
  }

  rouse(dutyCycle) {
    this.enter(MODE.RX, () => {
      this.startReception(dutyCycle.listening);
      this.rxSingle = true;
      this.dutyCycle = dutyCycle;
    });
  }

  doze() {
    const { dutyCycle } = this;
    this.halt();
    this.dutyCycle = dutyCycle;
    this.warmStart = true;
    this.fallAsleep();
    this.next = () => {
      this.mode = MODE.STBY_RC;
      this.busyFor(SWITCH_NS.warm, () => this.rouse(dutyCycle));
    };
    this.step.schedule(ticks(dutyCycle.sleeping) * TICK_NS);
  }

  /** Errata 15.4: bit 2 of register 0x0736 is 0 for inverted IQ, 1 otherwise. Returns whether it is. */
  checkPolarity() {
    const good = Boolean(this.register(REGISTER.IQ_POLARITY) & 4) !== this.packet.iq;
    if (!good) this.report('IQ polarity register (0x0736) does not fit InvertIQ (15.4): long frames are lost');
    return good;
  }

  startReception(timeout) {
    const [low, high] = this.imageBand;
    if (this.frequency < low || this.frequency > high) this.report('CalibrateImage was not done for this band (9.2.1)');
    const { sf, bw, ldro } = this.modulation;
    const { explicit, crc, iq, length } = this.packet;
    const deaf = this.rfSwitch === 'rxen' && !this.inputs.rxen;
    if (deaf) this.report('RXEN is low: the antenna is not on the receiver');
    this.rxPointer = this.rxBase;
    this.timerStopped = false;
    const freq = deaf ? -1 : this.frequency;
    this.receiver.listen({ freq, sf, bw, ldro, explicit, crc, iq, length, syncWord: this.syncWord });
    this.rxSingle = this.startTimer(timeout) !== 0xffffff;
    if (!this.symbolTimeout) return;
    this.next = () => {
      if (!this.receiver.locked) this.timeOut();
    };
    this.step.schedule(this.symbolTimeout * symbolNanos(sf, bw));
  }

  preambleFound() {
    this.raise(IRQ.PREAMBLE);
    if (this.dutyCycle) {
      const { listening, sleeping } = this.dutyCycle;
      this.timer.schedule((2 * ticks(listening) + ticks(sleeping)) * TICK_NS); // 13.1.7
      return;
    }
    if (this.stopOnPreamble) this.timer.cancel();
  }

  headerReceived(reception, good) {
    if (good) {
      this.timer.cancel();
      this.raise(IRQ.HEADER_VALID);
    } else {
      this.counters[2]++;
      this.raise(IRQ.HEADER_ERROR);
    }
  }

  frameReceived(reception, good) {
    const { frame, rssi, snr } = reception;
    const { explicit, length, crc } = this.packet;
    good &&= this.checkPolarity() || frame.bytes.length <= SHORT_ENOUGH_BYTES;
    const bytes = receivedBytes(reception, good);
    const received = explicit ? bytes.length : length;
    this.rxStart = this.rxPointer;
    for (let i = 0; i < received; i++) this.buffer[this.rxPointer++ & 0xff] = bytes[i] ?? 0;
    this.rxPointer &= 0xff;
    this.rxLength = received;
    const total = 10 * Math.log10(10 ** (rssi / 10) + 10 ** (noiseFloor(frame.bw) / 10));
    this.last = { rssi: total, signal: rssi, snr };
    this.counters[good ? 0 : 1]++;
    if (this.rxSingle) {
      const running = this.timer.scheduled && !explicit ? this.timer.nanos : null;
      this.fallBack();
      if (running !== null) this.timer.at(running); // errata 15.3: in implicit mode the timer runs on
    }
    this.commandStatus = STATUS.DATA_AVAILABLE;
    this.raise(IRQ.RX_DONE | (!good && (explicit ? frame.crc : crc) ? IRQ.CRC_ERROR : 0));
  }

  // ---- channel activity detection (13.4.7)

  setCad() {
    if (!this.complete('SetCad')) return;
    this.enter(MODE.RX, () => {
      const { sf, bw } = this.modulation;
      const [symbols, , , exit, ...timeout] = this.cad;
      const since = this.clock.nanos;
      const { iq } = this.packet;
      this.next = () => {
        const found = this.receiver.activity({ freq: this.frequency, sf, bw, iq }, since, false);
        if (found && exit === 1) this.startReception(timeout);
        else this.fallBack();
        this.raise(IRQ.CAD_DONE | (found ? IRQ.CAD_DETECTED : 0));
      };
      this.step.schedule((2 ** Math.min(symbols, 4) + 0.5) * symbolNanos(sf, bw));
    });
  }

  // ---- answers (13.5)

  nothing() {
    return [];
  }

  irqStatus() {
    return [this.irq >> 8, this.irq & 0xff];
  }

  rxBufferStatus() {
    return [this.rxLength, this.rxStart];
  }

  packetStatus() {
    const { rssi, signal, snr } = this.last;
    const half = (dbm) => Math.max(0, Math.min(255, Math.round(-2 * dbm)));
    return [half(rssi), Math.max(-128, Math.min(127, Math.round(snr * 4))) & 0xff, half(signal)];
  }

  rssiInst() {
    const power = this.receiver.power(this.frequency, this.modulation?.bw ?? 125000);
    return [Math.max(0, Math.min(255, Math.round(-2 * power)))];
  }

  stats() {
    return [this.counters[0] + this.counters[1], this.counters[1], this.counters[2]].flatMap((n) => [(n >> 8) & 0xff, n & 0xff]);
  }

  deviceErrors() {
    return [this.errors >> 8, this.errors & 0xff];
  }

  packetTypeAnswer() {
    return [this.packetType];
  }

  // ---- interrupts (13.3) and pins

  setDioIrqParams(...bytes) {
    const words = [0, 2, 4, 6].map((i) => (bytes[i] << 8) | bytes[i + 1]);
    [this.irqMask] = words;
    this.dioMasks = words.slice(1);
    this.irq &= this.irqMask;
    this.updatePins();
  }

  clearIrqStatus(high, low) {
    this.irq &= ~((high << 8) | low);
    this.updatePins();
  }

  raise(bits) {
    this.irq |= bits & this.irqMask;
    this.updatePins();
  }

  updatePins() {
    const [dio1, dio2, dio3] = this.dioMasks.map((mask) => (this.irq & mask ? 1 : 0));
    this.drive('dio1', dio1);
    this.drive('dio2', this.dio2Switch ? Number(this.mode === MODE.TX) : dio2);
    this.drive('dio3', this.tcxoDelay !== null ? Number(this.mode !== MODE.STBY_RC && this.mode !== MODE.SLEEP) : dio3);
  }

  drive(pin, level) {
    if (this.pins[pin] === level) return;
    this.pins[pin] = level;
    this.onPin(pin, level);
  }
}
