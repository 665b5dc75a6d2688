/** What the tests of the chip models share: a clock, radios on an air, and transfers on a bus as a controller makes them. */

import assert from 'node:assert/strict';

import { Ether } from './ether.mjs';

const ROOT = new URL('../../tools/fieldelm_tools/emulator/', import.meta.url);
const [{ Clock }, sx1276, sx1262, adxl345, lis3dh] = await Promise.all(
  ['clock.mjs', 'chips/sx1276.mjs', 'chips/sx1262.mjs', 'chips/adxl345.mjs', 'chips/lis3dh.mjs'].map((file) =>
    import(new URL(file, ROOT)),
  ),
);

export const MS = 1e6;
export const { Sx1276 } = sx1276;
export const { Sx1262 } = sx1262;
export const { Adxl345 } = adxl345;
export const { Lis3dh } = lis3dh;
export { Clock, Ether, ROOT, assert };

/** One SPI transaction: the bytes that came back. */
export function spi(chip, ...bytes) {
  chip.select();
  const answer = bytes.map((byte) => {
    const out = chip.shiftOut();
    chip.shiftIn(byte);
    return out;
  });
  chip.deselect();
  return answer;
}

/** A clock with chips: `bench.sx1276('a')`; `bench.reports` is what they complained of. */
export class Bench {
  constructor(options) {
    this.clock = new Clock();
    this.ether = new Ether(options);
    this.reports = [];
    this.events = []; // [ns, chip, pin, level]
  }

  radio(Chip, name, options = {}) {
    const station = this.ether.join(name);
    const chip = new Chip(this.clock, { radio: station, name, report: (text) => this.reports.push(text), ...options });
    station.chip = chip;
    station.clock = this.clock;
    return this.power(chip);
  }

  accelerometer(Chip, signal, options = {}) {
    return this.power(new Chip(this.clock, { signal, report: (text) => this.reports.push(text), ...options }));
  }

  power(chip) {
    chip.onPin = (pin, level) => this.events.push([this.clock.nanos, chip.name, pin, level]);
    chip.powerOn();
    this.run(20 * MS);
    return chip;
  }

  /** Let time pass. */
  run(nanos) {
    this.clock.advance(this.clock.nanos + nanos);
  }

  get now() {
    return this.clock.nanos;
  }

  /** When a pin last changed to `level`, in ns. */
  when(chip, pin, level = 1) {
    const event = this.events.filter(([, name, p, l]) => name === chip.name && p === pin && l === level).at(-1);
    return event?.[0];
  }
}

/** An SX1276 as a program sees it. */
export class Sx1276Program {
  constructor(bench, name) {
    this.bench = bench;
    this.chip = bench.radio(Sx1276, name);
    this.mode(0x80, 0);
    this.mode(0x80, 1);
    bench.run(MS);
  }

  read(address) {
    return spi(this.chip, address, 0)[1];
  }

  write(address, ...values) {
    spi(this.chip, 0x80 | address, ...values);
  }

  mode(flags, mode) {
    this.write(0x01, flags | mode);
  }

  configure({ freq = 868.1e6, sf = 7, bw = 7, cr = 1, crc = true, implicit = false, ldro = false, syncWord = 0x12, preamble = 8 } = {}) {
    const frf = Math.round((freq * 2 ** 19) / 32e6);
    this.write(0x06, frf >> 16, (frf >> 8) & 255, frf & 255);
    this.write(0x1d, (bw << 4) | (cr << 1) | Number(implicit), (sf << 4) | (crc ? 4 : 0));
    this.write(0x26, 0x04 | (ldro ? 8 : 0));
    this.write(0x20, preamble >> 8, preamble & 255);
    this.write(0x39, syncWord);
  }

  load(bytes) {
    this.write(0x0e, 0x00);
    this.write(0x0d, 0x00);
    this.write(0x00, ...bytes);
    this.write(0x22, bytes.length);
  }

  transmit(bytes) {
    this.load(bytes);
    this.write(0x40, 0x40); // DIO0: TxDone
    this.mode(0x80, 3);
  }

  received() {
    this.write(0x0d, this.read(0x10));
    const length = this.read(0x13);
    return spi(this.chip, 0x00, ...new Array(length).fill(0)).slice(1);
  }
}

/** An SX1262 as a program sees it: waits for BUSY before each command. */
export class Sx1262Program {
  constructor(bench, name, options) {
    this.bench = bench;
    this.chip = bench.radio(Sx1262, name, options);
  }

  command(...bytes) {
    for (let waited = 0; this.chip.pins.busy; waited += 0.001) {
      assert.ok(waited < 20, 'BUSY for more than 20 ms');
      this.bench.run(1000);
    }
    return spi(this.chip, ...bytes);
  }

  status() {
    const status = this.command(0xc0, 0)[1];
    return { mode: (status >> 4) & 7, command: (status >> 1) & 7 };
  }

  irq() {
    const [, , high, low] = this.command(0x12, 0, 0, 0);
    return (high << 8) | low;
  }

  configure({ freq = 868.1e6, sf = 7, bw = 4, cr = 1, ldro = 0, preamble = 8, implicit = 0, length = 255, crc = 1, iq = 0 } = {}) {
    this.command(0x80, 0);
    this.command(0x8a, 1);
    this.command(0x98, 0xd7, 0xdb);
    const steps = Math.round((freq * 2 ** 25) / 32e6);
    this.command(0x86, (steps >>> 24) & 255, (steps >> 16) & 255, (steps >> 8) & 255, steps & 255);
    this.command(0x95, 4, 7, 0, 1);
    this.command(0x8e, 14, 4);
    this.command(0x8b, sf, bw, cr, ldro);
    this.command(0x0d, 0x08, 0x89, bw === 6 ? 0x01 : 0x05);
    this.command(0x08, 0x03, 0xff, 0x03, 0xff, 0, 0, 0, 0);
    this.packet({ preamble, implicit, length, crc, iq });
  }

  packet({ preamble = 8, implicit = 0, length = 255, crc = 1, iq = 0 } = {}) {
    this.command(0x8c, preamble >> 8, preamble & 255, implicit, length, crc, iq);
    this.command(0x0d, 0x07, 0x36, iq ? 0x09 : 0x0d);
  }

  transmit(bytes, packet = {}) {
    this.packet({ ...packet, length: bytes.length });
    this.command(0x8f, 0, 0);
    this.command(0x0e, 0, ...bytes);
    this.command(0x83, 0, 0, 0);
  }

  receive(ticks = 0) {
    this.command(0x82, (ticks >> 16) & 255, (ticks >> 8) & 255, ticks & 255);
  }

  received() {
    const [, , length, start] = this.command(0x13, 0, 0, 0);
    return this.command(0x1e, start, 0, ...new Array(length).fill(0)).slice(3);
  }
}
