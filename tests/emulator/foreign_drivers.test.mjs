/**
 * The orders in which drivers that others wrote talk to the chips: RadioLib, Semtech's own, RadioHead, MicroPython's `lora`.
 * What the comments call a trace is what RadioLib has printed beside a real chip.
 */

import { test } from 'node:test';

import { Bench, MS, Sx1262Program, Sx1276Program, assert, spi } from './support.mjs';

const FRAME = [...'Hello World!'].map((letter) => letter.charCodeAt(0));
const STBY_RC = 2;

function radioLib(bench, name, options) {
  const chip = new Sx1262Program(bench, name, options);
  const status = () => chip.command(0xc0, 0)[1];
  chip.send = (...bytes) => {
    const answer = chip.command(...bytes);
    assert.equal((status() >> 1) & 7, 1, `command 0x${bytes[0].toString(16)} was not taken`);
    return answer;
  };
  chip.send(0x80, 0);
  const version = chip.send(0x1d, 0x03, 0x20, ...new Array(17).fill(0)).slice(4);
  assert.equal(String.fromCharCode(...version), 'SX1261 V2D 2D02\0', 'as in the trace');
  chip.send(0x80, 0);
  assert.deepEqual(chip.send(0x17, 0, 0, 0).slice(2), [0, options?.tcxo ? 0x20 : 0]);
  chip.send(0x07, 0, 0);
  chip.send(0x97, 0, 0, 1, 0x40); // 1.6 V, 5 ms
  chip.send(0x8f, 0, 0);
  chip.send(0x8a, 1);
  chip.send(0x93, 0x20);
  chip.send(0x88, 3, 24, 10, 0, 0, 0, 0);
  chip.send(0x02, 0x43, 0xff);
  chip.send(0x08, 0, 0, 0, 0, 0, 0, 0, 0);
  chip.send(0x89, 0x7f);
  chip.send(0x11, 0, 0);
  chip.send(0x8b, 9, 4, 3, 0);
  chip.send(0x0d, 0x07, 0x40, 0x14, 0x24);
  chip.send(0x0d, 0x08, 0xe7, 0x18); // 60 mA
  chip.send(0x9d, 1);
  chip.send(0x8c, 0, 8, 0, 255, 1, 0);
  chip.send(0x96, 1);
  chip.send(0x98, 0xd7, 0xdb);
  chip.send(0x86, 0x36, 0x41, 0x99, 0x9a);
  const [clamp] = chip.send(0x1d, 0x08, 0xd8, 0, 0).slice(4);
  chip.send(0x0d, 0x08, 0xd8, clamp | 0x1e);
  const [limit] = chip.send(0x1d, 0x08, 0xe7, 0, 0).slice(4);
  assert.equal(limit, 0x18);
  chip.send(0x95, 4, 7, 0, 1);
  assert.equal(chip.send(0x1d, 0x08, 0xe7, 0, 0)[4], 0x38, 'SetPaConfig sets the current limit anew (5.3)');
  chip.send(0x8e, 10, 4);
  chip.send(0x0d, 0x08, 0xe7, limit);
  return chip;
}

function radioLibSends(chip, bytes) {
  chip.send(0x80, 0);
  chip.send(0x8c, 0, 8, 0, bytes.length, 1, 0);
  chip.send(0x08, 0x02, 0x01, 0x00, 0x01, 0, 0, 0, 0);
  chip.send(0x8f, 0, 0);
  chip.send(0x0e, 0, ...bytes);
  chip.send(0x02, 0x43, 0xff);
  const [quality] = chip.send(0x1d, 0x08, 0x89, 0, 0).slice(4);
  chip.send(0x0d, 0x08, 0x89, quality | 4);
  chip.send(0x83, 0, 0, 0);
}

test('RadioLib starts an SX1262 with a TCXO, sends, and another one that it has started receives', () => {
  const bench = new Bench();
  const a = radioLib(bench, 'a', { tcxo: true, rfSwitch: 'dio2' });
  const b = radioLib(bench, 'b', { tcxo: true, rfSwitch: 'dio2' });
  b.send(0x08, 0x02, 0x62, 0x00, 0x02, 0, 0, 0, 0);
  b.send(0x8f, 0, 0);
  b.send(0x02, 0x43, 0xff);
  b.send(0x82, 0xff, 0xff, 0xff);
  radioLibSends(a, FRAME);
  bench.run(300 * MS);
  assert.equal(a.chip.pins.dio1, 1);
  assert.equal(a.command(0x02, 0x43, 0xff)[1] & 0x7f, 0x2c, 'as in the trace: standby, TX done');
  assert.equal(a.command(0xc0, 0)[1], 0x2c);
  assert.equal(a.command(0x80, 0)[1] & 0x7f, 0x2c);
  assert.equal(a.command(0xc0, 0)[1], 0x22, 'as in the trace');
  assert.equal(b.chip.pins.dio1, 1);
  b.send(0x80, 0);
  assert.equal(b.irq(), 2);
  assert.deepEqual(b.received(), FRAME, 'the buffer outlives standby');
  b.send(0x8f, 0, 0);
  b.send(0x02, 0x43, 0xff);
  assert.equal(b.chip.pins.dio1, 0);
  assert.deepEqual(b.send(0x10, ...new Array(7).fill(0)).slice(2), [0, 1, 0, 0, 0, 0], 'GetStats (13.5.5)');
  b.send(0x00, ...new Array(6).fill(0));
  assert.deepEqual(b.send(0x10, ...new Array(7).fill(0)).slice(2), [0, 0, 0, 0, 0, 0]);
  const random = b.send(0x1d, 0x08, 0x19, ...new Array(5).fill(0)).slice(4);
  assert.notDeepEqual(random, b.send(0x1d, 0x08, 0x19, ...new Array(5).fill(0)).slice(4), 'RandomNumberGen (12)');
  assert.deepEqual(bench.reports, []);
});

test('RadioLib wakes a sleeping SX1262 with a NOP; what is not on the retention list is forgotten (9.6)', () => {
  for (const [list, gain] of [[[], 0x94], [[1, 0x08, 0xac], 0x96]]) {
    const bench = new Bench();
    const chip = radioLib(bench, 'a');
    chip.send(0x0d, 0x08, 0xac, 0x96);
    if (list.length) chip.send(0x0d, 0x02, 0x9f, ...list);
    chip.send(0x80, 0);
    chip.command(0x84, 4);
    bench.run(5 * MS);
    assert.equal(chip.chip.pins.busy, 1);
    spi(chip.chip, 0x00);
    bench.run(MS);
    assert.equal(chip.chip.pins.busy, 0);
    assert.equal(chip.send(0x1d, 0x08, 0xac, 0, 0)[4], gain);
    assert.equal(chip.send(0x11, 0, 0)[2], 1, 'the packet type is kept');
    radioLibSends(chip, FRAME);
    bench.run(300 * MS);
    assert.equal(chip.irq(), 1);
    assert.deepEqual(bench.reports, []);
  }
});

test('SetRxDutyCycle: listen, sleep, listen; a preamble prolongs, a packet ends it (13.1.7)', () => {
  const bench = new Bench();
  const a = radioLib(bench, 'a');
  const b = radioLib(bench, 'b');
  const ticks = (ms) => [0, (ms * 64) >> 8, (ms * 64) & 255];
  b.send(0x08, 0x02, 0x62, 0x00, 0x02, 0, 0, 0, 0);
  b.command(0x94, ...ticks(30), ...ticks(100));
  const modes = [];
  for (let i = 0; i < 60; i++) {
    bench.run(5 * MS);
    modes.push(b.chip.mode);
  }
  assert.equal(modes.filter((mode) => mode === 'rx').length, 20, 'three windows: 5 ms for the TCXO and 30 ms');
  assert.equal(modes.filter((mode) => mode === 'sleep').length, 40);
  assert.equal(b.chip.irq, 0, 'no RX_TIMEOUT');
  // SF9: a symbol takes 4.1 ms; 40 of them outlast a sleep of 100 ms, and the rest the window of 30 ms
  a.send(0x8c, 0, 40, 0, FRAME.length, 1, 0);
  a.send(0x0e, 0, ...FRAME);
  a.send(0x0d, 0x08, 0x89, 5);
  a.send(0x83, 0, 0, 0);
  bench.run(600 * MS);
  assert.equal(b.chip.pins.dio1, 1);
  assert.equal(b.chip.mode, 'stby_rc');
  assert.deepEqual(b.received(), FRAME);

  b.command(0x94, ...ticks(30), ...ticks(100));
  bench.run(60 * MS);
  assert.equal(b.chip.mode, 'sleep');
  spi(b.chip, 0xc0, 0); // the falling edge of NSS ends it
  bench.run(MS);
  b.command(0x80, 0);
  bench.run(300 * MS);
  assert.equal((b.command(0xc0, 0)[1] >> 4) & 7, STBY_RC);
  assert.deepEqual(bench.reports, []);
});

test("Semtech's driver: wakes with GetStatus, receives with a timer that stops at the preamble, mends 15.3 after it", () => {
  const bench = new Bench();
  const a = new Sx1262Program(bench, 'a');
  const b = new Sx1262Program(bench, 'b');
  for (const chip of [a, b]) {
    spi(chip.chip, 0xc0, 0);
    chip.command(0x80, 0);
    chip.command(0x9d, 1);
    chip.command(0x96, 1);
    chip.command(0x8f, 0, 0);
    chip.command(0x95, 4, 7, 0, 1);
    chip.command(0x0d, 0x08, 0xe7, 0x38);
    chip.command(0x8e, 0, 2);
    chip.command(0x08, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);
    chip.command(0x80, 0);
    chip.command(0x8a, 1);
    chip.command(0x0d, 0x07, 0x40, 0x34, 0x44); // public network
    chip.command(0x98, 0xd7, 0xdb);
    chip.command(0x86, 0x36, 0x41, 0x99, 0x9a);
    chip.command(0x9f, 1);
    chip.command(0x8b, 7, 4, 1, 0);
    chip.command(0x8c, 0, 8, 0, 255, 1, 0);
    chip.command(0x0d, 0x07, 0x36, 0x0d);
    chip.command(0xa0, 0);
  }
  b.command(0x82, 0, 0x05, 0); // 20 ms: over before the header's end
  a.command(0x8c, 0, 8, 0, FRAME.length, 1, 0);
  a.command(0x0e, 0, ...FRAME);
  a.command(0x0d, 0x08, 0x89, 5);
  a.command(0x83, 0, 0x40, 0);
  bench.run(200 * MS);
  assert.equal(a.irq() & 0x201, 1);
  assert.equal(b.irq() & 0x202, 2, 'StopTimerOnPreamble (13.1.5)');
  b.command(0x0d, 0x09, 0x02, 0);
  const [event] = b.command(0x1d, 0x09, 0x44, 0, 0).slice(4);
  b.command(0x0d, 0x09, 0x44, event | 2);
  assert.deepEqual(b.received(), FRAME);
  assert.deepEqual(bench.reports, []);
});

test('a transmission that lasts longer than the timeout of SetTx ends with RX_TX_TIMEOUT in standby (13.1.4)', () => {
  const bench = new Bench();
  const a = radioLib(bench, 'a');
  a.send(0x0d, 0x08, 0x89, 5);
  a.send(0x08, 0x02, 0x01, 0x02, 0x01, 0, 0, 0, 0);
  a.send(0x83, 0, 0x06, 0x40); // 25 ms
  bench.run(100 * MS);
  assert.equal(a.irq(), 0x200);
  assert.equal(a.chip.mode, 'stby_rc');
});

// ---- SX1276

/** RadioHead and most of its relatives: sleep and LoRa in one write, which is read back. */
test('one write puts an SX1276 from FSK standby to sleep in LoRa mode', () => {
  const bench = new Bench();
  const { chip } = new Sx1276Program(bench, 'a');
  chip.reset(0);
  spi(chip, 0x81, 0x80);
  assert.equal(spi(chip, 0x01, 0)[1], 0x80);
  spi(chip, 0x8e, 0);
  spi(chip, 0x81, 0x81);
  assert.equal(spi(chip, 0x0e, 0)[1], 0, 'the FIFO base went to the LoRa page');
  assert.deepEqual(bench.reports, []);
});

test("Semtech's driver calibrates the receiver chain in FSK mode, and then finds its LoRa settings", () => {
  const bench = new Bench();
  const program = new Sx1276Program(bench, 'a');
  program.configure({ sf: 9 });
  program.mode(0x80, 0);
  program.mode(0x00, 0);
  program.mode(0x00, 1);
  program.write(0x09, 0);
  program.write(0x3b, 0x42);
  assert.equal(program.read(0x3b) & 0x20, 0x20, 'ImageCalRunning (2.1.3.8)');
  bench.run(11 * MS);
  assert.equal(program.read(0x3b) & 0x60, 0);
  program.mode(0x00, 0);
  program.mode(0x80, 0);
  program.mode(0x80, 1);
  assert.equal(program.read(0x1e) >> 4, 9);
  assert.deepEqual(bench.reports, []);
});

test('a header that announces more than RegMaxPayloadLength counts as damaged (table 41)', () => {
  for (const [longest, heard] of [[64, false], [65, true]]) {
    const bench = new Bench();
    const a = new Sx1276Program(bench, 'a');
    const b = new Sx1276Program(bench, 'b');
    a.configure();
    b.configure();
    b.write(0x23, longest);
    b.mode(0x80, 5);
    bench.run(MS);
    a.transmit(new Array(65).fill(1));
    bench.run(300 * MS);
    assert.equal(Boolean(b.read(0x12) & 0x50), heard);
  }
});

test('settings written while an SX1276 listens count from its next start (4.1.6), and are reported', () => {
  const bench = new Bench();
  const a = new Sx1276Program(bench, 'a');
  const b = new Sx1276Program(bench, 'b');
  a.configure();
  b.configure();
  b.mode(0x80, 5);
  bench.run(MS);
  b.write(0x1e, 0x94);
  b.write(0x40, 0x00);
  b.write(0x12, 0xff);
  assert.deepEqual(bench.reports.map((text) => text.replace(/^\w+: /, '')), ['register 0x1e changed in mode 5 (4.1.6: in standby only)']);
  a.transmit(FRAME);
  bench.run(100 * MS);
  assert.equal(b.read(0x12) & 0x40, 0x40, 'it still listened with SF7');
  b.mode(0x80, 1);
  b.write(0x12, 0xff);
  b.mode(0x80, 5);
  bench.run(MS);
  a.transmit(FRAME);
  bench.run(100 * MS);
  assert.equal(b.read(0x12), 0);
});

test('an SX1276 that received is in standby with RxDone; starting anew clears the FIFO (4.1.2.3)', () => {
  const bench = new Bench();
  const a = new Sx1276Program(bench, 'a');
  const b = new Sx1276Program(bench, 'b');
  a.configure();
  b.configure();
  b.write(0x0f, 0);
  b.mode(0x80, 6);
  a.transmit(FRAME);
  bench.run(100 * MS);
  assert.equal(b.read(0x01) & 7, 1);
  assert.equal(b.read(0x12) & 0x40, 0x40);
  assert.deepEqual(b.received(), FRAME);
  b.mode(0x80, 6);
  assert.deepEqual(b.received(), FRAME.map(() => 0));
});

test('PA_BOOST, PaDac and RFO give what table 41 says', () => {
  for (const [config, dac, dbm] of [[0xff, 0x84, 17], [0xff, 0x87, 20], [0x80, 0x84, 2], [0x7e, 0x84, 14], [0x00, 0x84, -4.2]]) {
    const bench = new Bench();
    const a = new Sx1276Program(bench, 'a');
    a.configure();
    a.write(0x09, config);
    a.write(0x4d, dac);
    a.transmit(FRAME);
    bench.run(MS);
    assert.ok(Math.abs(bench.ether.traffic.at(-1).frame.power - dbm) < 0.1);
  }
});
