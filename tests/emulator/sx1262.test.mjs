import { test } from 'node:test';

import { Bench, MS, Sx1262Program, Sx1276Program, assert, spi } from './support.mjs';

const FRAME = [1, 2, 3, 250, 0, 255, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19];
const IRQ = { TX_DONE: 1, RX_DONE: 2, PREAMBLE: 4, HEADER: 16, HEADER_ERROR: 32, CRC: 64, CAD_DONE: 128, CAD: 256, TIMEOUT: 512 };
const MODE = { STBY_RC: 2, STBY_XOSC: 3, FS: 4, RX: 5, TX: 6 };

function pair(options, etherOptions) {
  const bench = new Bench(etherOptions);
  const a = new Sx1262Program(bench, 'a');
  const b = new Sx1262Program(bench, 'b');
  a.configure(options);
  b.configure(options);
  return { bench, a, b };
}

test('is in standby after reset, with its sync word and IQ register as documented', () => {
  const bench = new Bench();
  const chip = new Sx1262Program(bench, 'a');
  assert.deepEqual(chip.status(), { mode: MODE.STBY_RC, command: 1 });
  assert.deepEqual(chip.command(0x1d, 0x07, 0x40, 0, 0, 0).slice(4), [0x14, 0x24]);
  assert.deepEqual(chip.command(0x1d, 0x07, 0x36, 0, 0).slice(4), [0x0d]);
  chip.chip.setInput('reset', 0);
  assert.equal(chip.chip.pins.busy, 1);
  chip.chip.setInput('reset', 1);
  bench.run(6 * MS);
  assert.equal(chip.chip.pins.busy, 0);
});

test('the modes and their switching times', () => {
  const bench = new Bench();
  const chip = new Sx1262Program(bench, 'a');
  chip.configure();
  const switching = (...bytes) => {
    chip.status();
    bench.run(MS);
    chip.command(...bytes);
    const from = bench.now;
    bench.run(10 * MS);
    return bench.when(chip.chip, 'busy', 0) - from;
  };
  assert.equal(switching(0x80, 1), 31_000); // STDBY_RC to STDBY_XOSC
  assert.equal(chip.status().mode, MODE.STBY_XOSC);
  assert.equal(switching(0xc1), 40_000);
  assert.equal(chip.status().mode, MODE.FS);
  assert.equal(switching(0x82, 0, 0, 0), 41_000);
  assert.equal(chip.status().mode, MODE.RX);
  assert.deepEqual(bench.reports, []);
});

test('sleep: BUSY stays high, the falling edge of NSS wakes, warm start keeps the settings', () => {
  for (const [config, kept, nanos] of [[4, true, 340_000], [0, false, 3_500_000]]) {
    const bench = new Bench();
    const chip = new Sx1262Program(bench, 'a');
    chip.configure();
    chip.command(0x0e, 0, 1, 2, 3);
    chip.command(0x0d, 0x07, 0x40, 0x34, 0x44);
    chip.command(0x84, config);
    bench.run(5 * MS);
    assert.equal(chip.chip.pins.busy, 1);
    const from = bench.now;
    spi(chip.chip, 0xc0, 0);
    bench.run(5 * MS);
    assert.equal(bench.when(chip.chip, 'busy', 0) - from, nanos);
    assert.equal(chip.status().mode, MODE.STBY_RC);
    assert.deepEqual(chip.command(0x1d, 0x07, 0x40, 0, 0, 0).slice(4), kept ? [0x34, 0x44] : [0x14, 0x24]);
    assert.deepEqual(chip.command(0x1e, 0, 0, 0, 0, 0).slice(3), [0, 0, 0], 'the buffer is lost');
  }
});

test('a command while BUSY is high is lost', () => {
  const bench = new Bench();
  const chip = new Sx1262Program(bench, 'a');
  chip.configure();
  chip.command(0x89, 0x7f); // calibrate: 3.5 ms
  spi(chip.chip, 0x80, 1);
  bench.run(10 * MS);
  assert.equal(chip.status().mode, MODE.STBY_RC);
  assert.match(bench.reports.join(), /BUSY/);
});

test('what is wrong is refused in the status', () => {
  const bench = new Bench();
  const chip = new Sx1262Program(bench, 'a');
  chip.command(0x5a, 1);
  assert.equal(chip.status().command, 4, 'unknown opcode: processing error');
  chip.command(0x8a);
  assert.equal(chip.status().command, 4, 'too few parameters');
  chip.command(0x83, 0, 0, 0);
  assert.deepEqual(chip.status(), { mode: MODE.STBY_RC, command: 5 }, 'SetTx without settings: cannot be executed');
  chip.command(0x8a, 1);
  chip.command(0x8b, 13, 4, 1, 0);
  assert.equal(chip.status().command, 4, 'spreading factor 13');
  chip.configure({ freq: 20e6 });
  chip.command(0x82, 0, 0, 0);
  assert.equal(chip.status().command, 5, 'the synthesizer does not lock');
  assert.equal(chip.command(0x17, 0, 0, 0)[3] & 0x40, 0x40);
  chip.command(0x07, 0, 0);
  assert.equal(chip.command(0x17, 0, 0, 0)[3], 0);
});

test('TxDone comes after the exact airtime, and BUSY is low during it', () => {
  const { bench, a } = pair();
  a.transmit(FRAME);
  const from = bench.now;
  bench.run(MS);
  assert.deepEqual(a.status().mode, MODE.TX);
  bench.run(100 * MS);
  const symbols = 12.25 + 38;
  assert.ok(Math.abs(bench.when(a.chip, 'dio1') - from - 126_000 - symbols * 1.024 * MS) <= 16);
  assert.equal(a.irq(), IRQ.TX_DONE);
  assert.deepEqual(a.status(), { mode: MODE.STBY_RC, command: 6 });
  a.command(0x02, 0, 1);
  assert.equal(a.chip.pins.dio1, 0);
  assert.deepEqual(bench.reports, []);
});

test('a frame goes to another SX1262 and to an SX1276', () => {
  const bench = new Bench({ loss: 100 });
  const a = new Sx1262Program(bench, 'a');
  const b = new Sx1262Program(bench, 'b');
  const c = new Sx1276Program(bench, 'c');
  for (const chip of [a, b, c]) chip.configure();
  b.receive(0);
  c.mode(0x80, 5);
  bench.run(MS);
  a.transmit(FRAME);
  bench.run(100 * MS);
  assert.equal(b.irq(), IRQ.PREAMBLE | IRQ.HEADER | IRQ.RX_DONE);
  assert.deepEqual(b.status(), { mode: MODE.STBY_RC, command: 2 });
  assert.deepEqual(b.received(), FRAME);
  const [, , rssi, snr, signal] = b.command(0x14, 0, 0, 0, 0);
  assert.equal(-rssi / 2, -86);
  assert.equal(-signal / 2, -86);
  assert.equal(snr / 4, 10);
  assert.deepEqual(c.received(), FRAME);
  assert.deepEqual(bench.reports, []);
});

test('and back: an SX1276 is heard, in continuous reception', () => {
  const bench = new Bench();
  const a = new Sx1276Program(bench, 'a');
  const b = new Sx1262Program(bench, 'b');
  a.configure();
  b.configure();
  b.receive(0xffffff);
  bench.run(MS);
  a.transmit(FRAME);
  bench.run(100 * MS);
  assert.deepEqual(b.received(), FRAME);
  b.command(0x02, 3, 255);
  a.write(0x12, 0xff);
  a.transmit([7, 8]);
  bench.run(100 * MS);
  assert.equal(b.status().mode, MODE.RX);
  assert.deepEqual(b.received(), [7, 8]);
});

test('a reception times out after its timeout, in steps of 15.625 µs', () => {
  const { bench, b } = pair();
  b.receive(6400); // 100 ms
  const from = bench.now + 83_000;
  bench.run(200 * MS);
  assert.ok(Math.abs(bench.when(b.chip, 'dio1') - from - 100 * MS) <= 16);
  assert.equal(b.irq(), IRQ.TIMEOUT);
  assert.deepEqual(b.status(), { mode: MODE.STBY_RC, command: 3 });
});

test('a header stops the timer', () => {
  const { bench, a, b } = pair();
  b.receive(64 * 40); // 40 ms: the frame's header comes in time, its end does not
  bench.run(10 * MS);
  a.transmit(FRAME);
  bench.run(100 * MS);
  assert.equal(b.irq() & (IRQ.RX_DONE | IRQ.TIMEOUT), IRQ.RX_DONE);
});

test('interrupts that are not enabled do not appear', () => {
  const { bench, a } = pair();
  a.command(0x08, 0, 0, 0, 0, 0, 0, 0, 0);
  a.transmit(FRAME);
  bench.run(100 * MS);
  assert.equal(a.irq(), 0);
  assert.equal(a.chip.pins.dio1, 0);
});

test('inverted IQ wants register 0x0736, too: without it longer frames are lost (15.4)', () => {
  for (const [polarity, length, good] of [[0x09, 19, true], [0x09, 200, true], [0x0d, 19, true], [0x0d, 200, false]]) {
    const { bench, a, b } = pair({ iq: 1 });
    b.command(0x0d, 0x07, 0x36, polarity);
    b.receive(0);
    bench.run(MS);
    a.transmit(new Array(length).fill(7), { iq: 1 });
    bench.run(400 * MS);
    assert.equal(b.irq() & (IRQ.RX_DONE | IRQ.CRC), good ? IRQ.RX_DONE : IRQ.RX_DONE | IRQ.CRC);
    assert.equal(bench.reports.some((text) => text.includes('15.4')), polarity === 0x0d);
  }
});

test('normal IQ does not hear inverted IQ', () => {
  const { bench, a, b } = pair();
  b.receive(0);
  bench.run(MS);
  a.transmit(FRAME, { iq: 1 });
  bench.run(100 * MS);
  assert.equal(b.irq(), 0);
  assert.equal(b.status().mode, MODE.RX);
});

test('another sync word is another network', () => {
  const { bench, a, b } = pair();
  b.command(0x0d, 0x07, 0x40, 0x34, 0x44);
  b.receive(0);
  bench.run(MS);
  a.transmit(FRAME);
  bench.run(100 * MS);
  assert.equal(b.irq() & IRQ.RX_DONE, 0);
  b.command(0x80, 0);
  const c = new Sx1276Program(bench, 'c');
  c.configure({ syncWord: 0x34 });
  b.receive(0);
  bench.run(MS);
  c.transmit(FRAME);
  bench.run(100 * MS);
  assert.equal(b.irq() & IRQ.RX_DONE, IRQ.RX_DONE, '0x3444 is the 0x34 of the SX1276');
});

test('a TCXO has to be switched on before anything but standby', () => {
  const bench = new Bench();
  const chip = new Sx1262Program(bench, 'a', { tcxo: true });
  assert.equal(chip.command(0x17, 0, 0, 0)[3], 0x20, 'XOSC_START_ERR after power-on');
  chip.configure();
  chip.command(0x82, 0, 0, 0);
  assert.deepEqual(chip.status(), { mode: MODE.STBY_RC, command: 5 });
  chip.command(0x97, 0x02, 0, 0, 64); // 1.8 V, 1 ms
  chip.command(0x07, 0, 0);
  chip.command(0x89, 0x7f);
  chip.command(0x82, 0, 0, 0);
  const from = bench.now;
  bench.run(10 * MS);
  assert.equal(bench.when(chip.chip, 'busy', 0) - from, MS + 83_000);
  assert.equal(chip.status().mode, MODE.RX);
  assert.equal(chip.chip.pins.dio3, 1);
});

test('DIO2 switches the antenna to the transmitter', () => {
  const bench = new Bench({ loss: 100 });
  const a = new Sx1262Program(bench, 'a', { rfSwitch: 'dio2' });
  const b = new Sx1262Program(bench, 'b');
  a.configure();
  b.configure();
  b.receive(0xffffff);
  bench.run(MS);
  a.transmit(FRAME);
  bench.run(100 * MS);
  assert.equal(b.irq() & IRQ.RX_DONE, 0, 'the antenna was on the receiver');
  a.command(0x9d, 1);
  a.transmit(FRAME);
  bench.run(20 * MS);
  assert.equal(a.chip.pins.dio2, 1);
  bench.run(100 * MS);
  assert.equal(a.chip.pins.dio2, 0);
  assert.equal(b.irq() & IRQ.RX_DONE, IRQ.RX_DONE);
});

test('RXEN switches it to the receiver, where a module has it', () => {
  const bench = new Bench();
  const a = new Sx1262Program(bench, 'a');
  const b = new Sx1262Program(bench, 'b', { rfSwitch: 'rxen' });
  a.configure();
  b.configure();
  for (const level of [0, 1]) {
    b.command(0x80, 0);
    b.chip.setInput('rxen', level);
    b.receive(0);
    bench.run(MS);
    a.transmit(FRAME);
    bench.run(100 * MS);
    assert.equal(Boolean(b.irq() & IRQ.RX_DONE), Boolean(level));
  }
});

test('CAD', () => {
  const { bench, a, b } = pair();
  b.command(0x88, 2, 22, 10, 0, 0, 0, 0);
  b.command(0xc5);
  bench.run(20 * MS);
  assert.equal(b.irq(), IRQ.CAD_DONE);
  b.command(0x02, 3, 255);
  a.transmit(FRAME);
  bench.run(2 * MS);
  b.command(0xc5);
  bench.run(20 * MS);
  assert.equal(b.irq(), IRQ.CAD_DONE | IRQ.CAD);
});

test('sleep is entered from standby only', () => {
  const { bench, b } = pair();
  b.receive(0);
  bench.run(MS);
  b.command(0x84, 4);
  bench.run(MS);
  assert.deepEqual(b.status(), { mode: MODE.RX, command: 5 });
});

test('implicit header: a timer that is not stopped as erratum 15.3 says fires after RxDone', () => {
  for (const mended of [false, true]) {
    const { bench, a, b } = pair();
    b.packet({ implicit: 1, length: FRAME.length });
    b.receive(64 * 100);
    bench.run(MS);
    a.transmit(FRAME, { implicit: 1 });
    bench.run(70 * MS);
    assert.equal(b.irq() & IRQ.RX_DONE, IRQ.RX_DONE);
    if (mended) {
      b.command(0x0d, 0x09, 0x02, 0);
      const [event] = b.command(0x1d, 0x09, 0x44, 0, 0).slice(4);
      b.command(0x0d, 0x09, 0x44, event | 2);
    }
    bench.run(100 * MS);
    assert.equal(Boolean(b.irq() & IRQ.TIMEOUT), !mended);
  }
});

test('the power amplifier gives what SetPaConfig and SetTxParams say together', () => {
  for (const [hpMax, power, dbm] of [[7, 22, 22], [7, 14, 14], [5, 22, 20], [2, 22, 14]]) {
    const { bench, a } = pair();
    a.command(0x95, 2, hpMax, 0, 1);
    a.command(0x8e, power, 4);
    a.transmit(FRAME);
    bench.run(20 * MS);
    assert.equal(bench.ether.traffic.at(-1).frame.power, dbm);
  }
});
