#!/usr/bin/env node
/**
 * Runs emulated Picos from a description: `node run.mjs DESCRIPTION.json`, see docs/reference/emulator.md.
 *
 * Each Pico's serial port is a TCP port. Commands come as JSON lines on standard input, answers and events go as JSON
 * lines to standard output; the end of standard input ends the program.
 */

import fs from 'node:fs';
import net from 'node:net';
import readline from 'node:readline';

import { Air } from './air.mjs';
import { makePico, setBattery, setFault } from './board.mjs';
import { makeSignal } from './signal.mjs';
import { System } from './system.mjs';

const SLICE_MS = 8; // of work between two looks at the sockets
const BOOT_ROM_BYTES = 16384;
const OUTPUT_LIMIT = 256 * 1024; // bytes a reader may be behind before its Pico stands still
const TAKEN_MS = 500; // a second program waits so long for the first to hang up
const INPUT_LIMIT = 64 * 1024;

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

function readBootRom(file) {
  const data = fs.readFileSync(file);
  if (data.length !== BOOT_ROM_BYTES) throw new Error(`${file} is no RP2040 boot ROM: it has ${data.length} bytes, not ${BOOT_ROM_BYTES}`);
  return new Uint32Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.length));
}

/** The TCP port that is a Pico's serial port: one program at a time, as on a real one. */
class SerialPort {
  constructor(pico, wake) {
    this.pico = pico;
    this.wake = wake;
    this.client = null;
    this.next = null;
    this.spokeAt = -Infinity; // emulated ns of the last output
    pico.usb.onData = (bytes) => {
      this.spokeAt = pico.nanos;
      this.client?.write(Buffer.from(bytes));
    };
    this.server = net.createServer((socket) => this.accept(socket));
  }

  listen(port) {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, '127.0.0.1', () => resolve(this.server.address().port));
    });
  }

  accept(socket) {
    if (this.client) {
      // taken; but perhaps the one before has just hung up
      this.next?.destroy();
      this.next = socket;
      socket.on('error', () => {});
      setTimeout(() => this.next === socket && socket.destroy(), TAKEN_MS).unref();
      return;
    }
    this.client = socket;
    const { usb } = this.pico;
    socket.setNoDelay(true);
    usb.setOpen(true);
    socket.on('data', (bytes) => {
      usb.send(bytes);
      if (usb.pending > INPUT_LIMIT) socket.pause();
      this.wake();
    });
    socket.on('drain', () => this.wake());
    socket.on('error', () => {});
    socket.on('close', () => {
      this.client = null;
      usb.setOpen(false);
      const { next } = this;
      this.next = null;
      if (next && !next.destroyed) this.accept(next);
      this.wake();
    });
    this.wake();
  }

  /** Whether the reader is so far behind that the Pico has to stand still. */
  get blocked() {
    if (this.client?.isPaused() && this.pico.usb.pending < INPUT_LIMIT / 4) this.client.resume();
    return (this.client?.writableLength ?? 0) > OUTPUT_LIMIT;
  }

  close() {
    this.client?.destroy();
    this.server.close();
  }
}

class Runner {
  constructor(description) {
    this.description = description;
    this.ports = [];
    this.stopping = false;
    this.wake = () => {};
    this.limit = Infinity; // emulated ns that are not passed
    const bootRom = readBootRom(description.boot_rom);
    const { air } = description;
    this.air = new Air(typeof air === 'string' ? { address: air } : air);
    const report = (text) => say({ event: 'report', text });
    const join = (name, options) => this.air.join(name, options);
    this.picos = description.picos.map((item) => makePico(item, { bootRom, join, report }));
    this.byName = new Map(this.picos.map((pico) => [pico.name, pico]));
    if (this.byName.size !== this.picos.length) throw new Error('two Picos have the same name');
    this.system = new System(this.picos, this.air);
    if (description.trace) {
      this.air.onFrame = (sender, { bytes, start_ns, end_ns, freq, sf, iq }) =>
        say({ event: 'frame', sender, data: Buffer.from(bytes).toString('hex'), start_ns, end_ns, freq, sf, iq });
    }
  }

  async start() {
    for (const [index, pico] of this.picos.entries()) {
      const port = new SerialPort(pico, () => this.wake());
      const number = await port.listen(this.description.picos[index].port ?? 0);
      this.ports.push(port);
      pico.onBootloader = () => say({ event: 'bootloader', pico: pico.name });
      pico.onPowerCut = () => {
        say({ event: 'power_cut', pico: pico.name, time: pico.nanos / 1e9 });
        pico.powerOn();
      };
      pico.portNumber = number;
    }
    await this.air.connect();
    for (const pico of this.picos) if (this.description.powered ?? true) pico.powerOn();
    say({ event: 'ready', picos: this.picos.map(({ name, portNumber }) => ({ name, port: portNumber })) });
  }

  get nanos() {
    return this.system.nanos;
  }

  /** Emulated ns that the pace allows now. */
  allowance() {
    const { pace = null, host_pace: host = null } = this.description;
    const wall = performance.now();
    const talking = host && this.ports.some((port) => port.client && this.nanos - port.spokeAt < (host.window_s ?? 1.5) * 1e9);
    const ratio = talking ? Math.min(host.ratio ?? 1, pace ?? Infinity) : pace;
    if (ratio === null || ratio === Infinity) {
      this.origin = null;
      return this.limit;
    }
    if (!this.origin || this.origin.ratio !== ratio) this.origin = { wall, nanos: this.nanos, ratio };
    const allowed = this.origin.nanos + (wall - this.origin.wall) * 1e6 * ratio;
    if (allowed - this.nanos > 5e8) this.origin = { wall: wall - 5e8 / 1e6 / ratio, nanos: this.nanos, ratio }; // no racing after a delay
    return Math.min(this.limit, allowed);
  }

  async run() {
    while (!this.stopping) {
      const begin = performance.now();
      let idle = false;
      let until = this.allowance();
      while (!this.stopping && !idle && performance.now() - begin < SLICE_MS) {
        if (this.ports.some((port) => port.blocked)) break;
        if (this.nanos >= until) break;
        idle = !(await this.system.advance(until));
        until = Math.min(until, this.allowance());
      }
      await this.pause(idle, until);
    }
  }

  /** Look at the sockets; where there is nothing to do, wait for something. */
  pause(idle, until) {
    const wait = idle || this.nanos >= this.limit ? 1e6 : this.nanos >= until ? 2 : 0;
    return new Promise((resolve) => {
      if (!wait) {
        setImmediate(resolve);
        return;
      }
      const timer = setTimeout(resolve, wait);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  stop() {
    this.stopping = true;
    this.wake();
    for (const port of this.ports) port.close();
    for (const pico of this.picos) pico.flash.close();
    this.air.close();
  }

  // ---- commands

  command(line) {
    const { op, id } = line;
    const pico = line.pico === undefined ? this.picos[0] : this.byName.get(line.pico);
    if (!pico) throw new Error(`there is no Pico ${line.pico}`);
    const action = this[`do_${op}`];
    if (!action) throw new Error(`unknown op ${op}`);
    const answer = action.call(this, pico, line);
    say({ id, ok: true, ...answer });
    this.wake();
  }

  do_status(pico) {
    return {
      time: this.nanos / 1e9,
      busy_cycles: pico.busyCycles,
      resets: pico.resets,
      powered: pico.powered,
      asleep: pico.asleep,
      bootloader: pico.bootloader,
      flash_operations: pico.flash.operations,
      reports: pico.reports,
    };
  }

  do_power(pico, { on }) {
    if (on) pico.powerOn();
    else pico.powerOff();
  }

  do_power_cut(pico, { operation = 1, fraction = 0.5 }) {
    pico.flash.cutPower(operation, fraction);
  }

  do_reset(pico) {
    pico.reset();
  }

  do_plug(pico, { in: plugged }) {
    pico.usb.plug(plugged);
  }

  do_stall(pico, { on }) {
    pico.usb.stall(on);
  }

  do_pin(pico, { pin, level = null }) {
    pico.pins.drive(pin, level);
  }

  do_battery(pico, { pin, volts, ratio }) {
    setBattery(pico, { pin, volts, ratio });
  }

  do_signal(pico, { chip, signal }) {
    const part = pico.parts[chip];
    if (!part) throw new Error(`${pico.name} has no chip ${chip}`);
    part.chip.update();
    part.chip.signal = makeSignal(signal);
  }

  do_fault(pico, { chip, fault }) {
    setFault(pico, chip, fault);
  }

  do_flash(pico, { uf2 }) {
    pico.flashUf2(uf2);
  }

  do_limit(pico, { time = null }) {
    this.limit = time === null ? Infinity : time * 1e9;
  }
}

async function main() {
  const [file] = process.argv.slice(2);
  if (!file) throw new Error('usage: node run.mjs DESCRIPTION.json');
  const runner = new Runner(JSON.parse(fs.readFileSync(file, 'utf8')));
  await runner.start();
  const input = readline.createInterface({ input: process.stdin });
  input.on('line', (text) => {
    let line = {};
    try {
      line = JSON.parse(text);
      runner.command(line);
    } catch (error) {
      say({ id: line?.id, ok: false, why: error.message });
    }
  });
  input.on('close', () => runner.stop());
  process.on('SIGTERM', () => runner.stop());
  try {
    await runner.run();
  } catch (error) {
    if (!runner.stopping) throw error;
  }
  process.exit(0);
}

main().catch((error) => {
  process.stderr.write(`emulator: ${error.message}\n`);
  process.exit(2);
});
