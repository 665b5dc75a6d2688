import { test } from 'node:test';

import { Bench, MS, Sx1276Program, assert, spi } from './support.mjs';

const FRAME = [1, 2, 3, 250, 0, 255, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19];
const [RX_DONE, CRC_ERROR, VALID_HEADER, TX_DONE, RX_TIMEOUT] = [0x40, 0x20, 0x10, 0x08, 0x80];

function pair(options = {}, etherOptions) {
  const bench = new Bench(etherOptions);
  const a = new Sx1276Program(bench, 'a');
  const b = new Sx1276Program(bench, 'b');
  a.configure(options);
  b.configure(options);
  return { bench, a, b };
}

test('says which chip it is, and starts in FSK standby', () => {
  const bench = new Bench();
  const chip = new Sx1276Program(bench, 'a');
  assert.equal(chip.read(0x42), 0x12);
  chip.chip.setInput('reset', 0);
  bench.run(MS);
  assert.equal(chip.read(0x42), 0, 'in reset it does not answer');
  chip.chip.setInput('reset', 1);
  bench.run(6 * MS);
  assert.equal(chip.read(0x01), 0x09);
});

test('LoRa is chosen in sleep mode only', () => {
  const bench = new Bench();
  const chip = new Sx1276Program(bench, 'a');
  chip.write(0x01, 0x01);
  assert.equal(chip.read(0x01) & 0x80, 0x80);
  assert.match(bench.reports.join(), /LongRangeMode/);
  chip.write(0x01, 0x80);
  chip.write(0x01, 0x00);
  assert.equal(chip.read(0x01) & 0x80, 0);
});

test('FIFO: the pointer grows and wraps; sleep refuses and clears', () => {
  const bench = new Bench();
  const chip = new Sx1276Program(bench, 'a');
  chip.write(0x0d, 0xfe);
  chip.write(0x00, 1, 2, 3, 4);
  assert.equal(chip.read(0x0d), 2);
  chip.write(0x0d, 0xfe);
  assert.deepEqual(spi(chip.chip, 0x00, 0, 0, 0, 0).slice(1), [1, 2, 3, 4]);
  chip.mode(0x80, 0);
  chip.write(0x00, 9);
  assert.equal(chip.read(0x00), 0);
  assert.equal(bench.reports.filter((text) => text.includes('sleep mode')).length, 2);
  chip.mode(0x80, 1);
  chip.write(0x0d, 0xfe);
  assert.deepEqual(spi(chip.chip, 0x00, 0, 0).slice(1), [0, 0]);
});

test('burst access goes from register to register', () => {
  const chip = new Sx1276Program(new Bench(), 'a');
  chip.write(0x06, 0xd9, 0x06, 0x8b);
  assert.deepEqual(spi(chip.chip, 0x06, 0, 0, 0).slice(1), [0xd9, 0x06, 0x8b]);
  chip.write(0x42, 0);
  assert.equal(chip.read(0x42), 0x12, 'RegVersion cannot be written');
});

// airtime of 19 bytes with CRC, CR 4/5, preamble 8, 125 kHz, from Semtech's formula (AN1200.13), worked out by hand
for (const [sf, ldro, symbols] of [[7, false, 12.25 + 38], [10, false, 12.25 + 28], [12, true, 12.25 + 28]]) {
  test(`TxDone comes after the exact airtime at SF${sf}`, () => {
    const { bench, a } = pair({ sf, ldro });
    a.transmit(FRAME);
    const start = bench.now + 100_000; // synthesizer 60 µs, ramp 40 µs
    bench.run(2000 * MS);
    const airtime = (symbols * 2 ** sf * 1e9) / 125e3;
    assert.ok(Math.abs(bench.when(a.chip, 'dio0') - start - airtime) <= 16, `${bench.when(a.chip, 'dio0') - start} is not ${airtime}`);
    assert.equal(a.read(0x12), TX_DONE);
    assert.equal(a.read(0x01), 0x81, 'standby by itself');
    a.write(0x12, 0xff);
    assert.equal(a.chip.dio[0], 0);
    assert.deepEqual(bench.reports, []);
  });
}

test('a frame arrives, with its flags in order, its RSSI and its SNR', () => {
  const { bench, a, b } = pair({}, { loss: 114 });
  b.mode(0x80, 5);
  bench.run(MS);
  b.write(0x40, 0x00 | 0x01); // DIO0 RxDone, DIO3 ValidHeader
  a.write(0x09, 0x80 | 12); // PA_BOOST, 14 dBm
  a.transmit(FRAME);
  bench.run(60 * MS);
  assert.equal(b.read(0x12), RX_DONE | VALID_HEADER);
  assert.equal(b.read(0x01) & 7, 5, 'continuous goes on');
  assert.deepEqual(b.received(), FRAME);
  const symbol = 1.024 * MS;
  const end = bench.when(a.chip, 'dio0');
  assert.ok(Math.abs(end - bench.when(b.chip, 'dio0')) < 100);
  const header = end - 50.25 * symbol + 20.25 * symbol;
  assert.ok(Math.abs(bench.when(b.chip, 'dio3') - header) < 100);
  assert.equal(Math.round((b.read(0x1a) * 16) / 15) - 157, -100);
  assert.equal(b.read(0x19), 40, 'SNR saturates at 10 dB');
  assert.equal(b.read(0x1c) & 0x40, 0x40, 'CrcOnPayload');
});

test('below the noise the strength is PacketRssi plus a quarter of PacketSnr', () => {
  const { bench, a, b } = pair({ sf: 12, ldro: true }, { loss: 2 + 127 });
  b.mode(0x80, 5);
  bench.run(MS);
  a.write(0x09, 0x80); // 2 dBm
  a.transmit(FRAME);
  bench.run(1500 * MS);
  const snr = (b.read(0x19) << 24) / 2 ** 24 / 4;
  assert.ok(snr < -9 && snr > -11, String(snr));
  assert.ok(Math.abs(-157 + b.read(0x1a) + snr - -127) < 0.6);
});

test('two frames in continuous mode stand one after the other in the FIFO', () => {
  const { bench, a, b } = pair();
  b.mode(0x80, 5);
  bench.run(MS);
  a.transmit(FRAME);
  bench.run(60 * MS);
  b.write(0x12, 0xff);
  a.transmit([42, 43]);
  bench.run(60 * MS);
  assert.equal(b.read(0x10), FRAME.length);
  assert.deepEqual(b.received(), [42, 43]);
});

for (const [what, sender, receiver] of [
  ['spreading factor', {}, { sf: 8 }],
  ['frequency', {}, { freq: 868.3e6 }],
  ['bandwidth', {}, { bw: 8 }],
  ['sync word', {}, { syncWord: 0x34 }],
]) {
  test(`another ${what} is not heard`, () => {
    const { bench, a, b } = pair();
    a.configure(sender);
    b.configure(receiver);
    b.mode(0x80, 5);
    bench.run(MS);
    a.transmit(FRAME);
    bench.run(100 * MS);
    assert.equal(b.read(0x12), 0);
  });
}

test('inverted IQ: bit 0 of RegInvertIQ for transmission, bit 6 for reception', () => {
  for (const [tx, rx, heard] of [[0x27, 0x27, true], [0x26, 0x27, false], [0x26, 0x67, true], [0x27, 0x67, false]]) {
    const { bench, a, b } = pair();
    a.write(0x33, tx);
    a.write(0x3b, tx & 1 ? 0x1d : 0x19);
    b.write(0x33, rx);
    b.write(0x3b, rx & 0x40 ? 0x19 : 0x1d);
    b.mode(0x80, 5);
    bench.run(MS);
    a.transmit(FRAME);
    bench.run(60 * MS);
    assert.equal(Boolean(b.read(0x12) & RX_DONE), heard, `${tx} ${rx}`);
    assert.deepEqual(bench.reports, []);
  }
});

test('RxSingle gives up after SymbTimeout symbols', () => {
  const { bench, b } = pair();
  b.write(0x1f, 100);
  b.mode(0x80, 6);
  const start = bench.now + 131_000;
  bench.run(100 * MS);
  assert.equal(b.read(0x12), 0);
  bench.run(10 * MS);
  assert.equal(b.read(0x12), RX_TIMEOUT);
  assert.equal(b.read(0x01), 0x81);
  assert.ok(bench.now - start > 102.4 * MS);
});

test('RxSingle finishes a reception that has begun before the timeout', () => {
  const { bench, a, b } = pair();
  b.write(0x1f, 20); // 20.5 ms
  b.mode(0x80, 6);
  bench.run(13 * MS);
  a.transmit(FRAME);
  bench.run(60 * MS);
  assert.equal(b.read(0x12), RX_DONE | VALID_HEADER);
  assert.equal(b.read(0x01), 0x81);
  assert.deepEqual(b.received(), FRAME);
});

test('a preamble that is nearly over is missed', () => {
  const { bench, a, b } = pair();
  a.transmit(FRAME);
  bench.run(4.5 * MS);
  b.mode(0x80, 5);
  bench.run(60 * MS);
  assert.equal(b.read(0x12), 0);
});

test('two frames at once damage each other', () => {
  const bench = new Bench();
  const [a, b, c] = ['a', 'b', 'c'].map((name) => new Sx1276Program(bench, name));
  for (const chip of [a, b, c]) chip.configure();
  c.mode(0x80, 5);
  bench.run(MS);
  a.transmit(FRAME);
  bench.run(30 * MS);
  b.transmit([1, 2, 3]);
  bench.run(60 * MS);
  assert.equal(c.read(0x12), RX_DONE | VALID_HEADER | CRC_ERROR);
});

test('a stronger frame survives a weaker one', () => {
  const bench = new Bench({ loss: (sender) => (sender === 'a' ? 80 : 100) });
  const [a, b, c] = ['a', 'b', 'c'].map((name) => new Sx1276Program(bench, name));
  for (const chip of [a, b, c]) chip.configure();
  c.mode(0x80, 5);
  bench.run(MS);
  a.transmit(FRAME);
  bench.run(30 * MS);
  b.transmit([1, 2, 3]);
  bench.run(60 * MS);
  assert.equal(c.read(0x12), RX_DONE | VALID_HEADER);
});

test('a transmission that is cut short arrives damaged', () => {
  const { bench, a, b } = pair();
  b.mode(0x80, 5);
  bench.run(MS);
  a.transmit(FRAME);
  bench.run(30 * MS);
  a.mode(0x80, 1);
  bench.run(60 * MS);
  assert.equal(b.read(0x12) & CRC_ERROR, CRC_ERROR);
  assert.equal(a.read(0x12), 0, 'no TxDone');
});

test('masked interrupts stay away from flags and pins', () => {
  const { bench, a } = pair();
  a.write(0x11, 0x08);
  a.transmit(FRAME);
  bench.run(60 * MS);
  assert.equal(a.read(0x12), 0);
  assert.equal(bench.when(a.chip, 'dio0'), undefined);
});

test('CAD finds a preamble and nothing in silence', () => {
  const { bench, a, b } = pair();
  b.write(0x40, 0x80 | 0x20); // DIO0 CadDone, DIO1 CadDetected
  b.mode(0x80, 7);
  bench.run(10 * MS);
  assert.equal(b.read(0x12), 0x04);
  assert.equal(b.read(0x01), 0x81);
  b.write(0x12, 0xff);
  a.transmit(FRAME);
  bench.run(2 * MS);
  b.mode(0x80, 7);
  bench.run(10 * MS);
  assert.equal(b.read(0x12), 0x05);
  assert.equal(b.chip.dio[1], 1);
});

test('implicit header: both sides know the length; SF6 needs it', () => {
  const { bench, a, b } = pair({ implicit: true, sf: 6 });
  for (const chip of [a, b]) {
    chip.write(0x31, 0xc5);
    chip.write(0x37, 0x0c);
  }
  b.write(0x22, FRAME.length);
  b.mode(0x80, 5);
  bench.run(MS);
  a.transmit(FRAME);
  bench.run(60 * MS);
  assert.equal(b.read(0x12), RX_DONE);
  assert.deepEqual(b.received(), FRAME);
  a.configure({ sf: 6 });
  a.transmit(FRAME);
  bench.run(60 * MS);
  assert.equal(a.read(0x12) & TX_DONE, TX_DONE, 'still the first one');
  assert.match(bench.reports.join(), /explicit header/);
});

test('low data rate optimisation on one side only damages the payload', () => {
  const { bench, a, b } = pair({ sf: 12, ldro: true });
  b.configure({ sf: 12, ldro: false });
  b.mode(0x80, 5);
  bench.run(MS);
  a.transmit(FRAME);
  bench.run(1500 * MS);
  assert.equal(b.read(0x12) & CRC_ERROR, CRC_ERROR);
});

test('RegRssiValue shows noise, and a signal while it lasts', () => {
  const { bench, a, b } = pair({}, { loss: 94 });
  b.mode(0x80, 5);
  bench.run(MS);
  assert.equal(b.read(0x1b) - 157, -117);
  a.write(0x09, 0x8c);
  a.transmit(FRAME);
  bench.run(20 * MS);
  assert.equal(b.read(0x1b) - 157, -80);
});
