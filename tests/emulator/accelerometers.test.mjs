import { test } from 'node:test';

import { Adxl345, Bench, Lis3dh, MS, assert, spi } from './support.mjs';

const S = 1e9;
const word = (low, high) => ((low | (high << 8)) << 16) >> 16;

/** A signal whose x counts samples of a rate, in steps of 1/256 g. */
const counting = (hz) => (ns) => [Math.round((ns / S) * hz) / 256 - 1, 0, 1];

class Adxl {
  constructor(bench, signal) {
    this.bench = bench;
    this.chip = bench.accelerometer(Adxl345, signal);
  }
  read(address) {
    return spi(this.chip, 0x80 | address, 0)[1];
  }
  write(address, value) {
    spi(this.chip, address, value);
  }
  sample() {
    const bytes = spi(this.chip, 0xc0 | 0x32, 0, 0, 0, 0, 0, 0).slice(1);
    this.bench.run(6000);
    return [0, 2, 4].map((i) => word(bytes[i], bytes[i + 1]));
  }
}

test('ADXL345: identity, reset values, read-only registers', () => {
  const bench = new Bench();
  const a = new Adxl(bench);
  assert.equal(a.read(0x00), 0xe5);
  assert.equal(a.read(0x2c), 0x0a);
  a.write(0x00, 1);
  assert.equal(a.read(0x00), 0xe5);
  assert.deepEqual(a.sample(), [0, 0, 0], 'standby after power-on');
});

for (const [format, g, expected] of [
  [0x00, 1, 256], [0x01, 1, 128], [0x02, 1, 64], [0x03, 1, 32], // 10 bits
  [0x08, 1, 256], [0x0b, 1, 256], // full resolution: always 3.9 mg
  [0x00, 5, 511], [0x08, -5, -512], [0x0b, 15.5, 3968], [0x0b, 20, 4095], [0x0b, -20, -4096], // clipped
  [0x04, 1, 256 << 6], [0x0f, 1, 256 << 3], // left-justified
]) {
  test(`ADXL345: ${g} g is ${expected} with DATA_FORMAT 0x${format.toString(16)}`, () => {
    const bench = new Bench();
    const a = new Adxl(bench, () => [g, 0, -g]);
    a.write(0x31, format);
    a.write(0x2d, 0x08);
    bench.run(50 * MS);
    assert.equal(a.sample()[0], expected);
  });
}

test('ADXL345: offsets and self-test', () => {
  const bench = new Bench();
  const a = new Adxl(bench, () => [0, 0, 0]);
  a.write(0x31, 0x0b);
  a.write(0x1e, 0xf6); // -10
  a.write(0x2d, 0x08);
  bench.run(50 * MS);
  assert.equal(a.sample()[0], -40);
  a.write(0x31, 0x8b);
  bench.run(50 * MS);
  const [x, y, z] = a.sample();
  assert.ok(x + 40 >= 50 && x + 40 <= 540 && y <= -50 && z >= 75 && z <= 875, 'table 1, self-test output change');
});

test('ADXL345: the data rates', () => {
  for (const [code, hz] of [[0x0f, 3200], [0x0d, 800], [0x0a, 100], [0x07, 12.5]]) {
    const bench = new Bench();
    let last = 0;
    let first = 0;
    let count = 0;
    const a = new Adxl(bench, (ns) => {
      first ||= ns;
      last = ns;
      count++;
      return [0, 0, 1];
    });
    a.write(0x2c, code);
    a.write(0x38, 0x80);
    a.write(0x2d, 0x08);
    for (let i = 0; i < 40; i++) {
      bench.run((20 * S) / hz);
      a.read(0x39);
    }
    assert.ok(Math.abs((last - first) / (count - 1) - S / hz) < 1, `${hz} Hz`);
  }
});

test('ADXL345: the stream is complete and in order while it is read in time', () => {
  const bench = new Bench();
  const a = new Adxl(bench, counting(800));
  a.write(0x31, 0x0b);
  a.write(0x2c, 0x0d);
  a.write(0x38, 0x80 | 16);
  a.write(0x2d, 0x08);
  const seen = [];
  for (let i = 0; i < 50; i++) {
    bench.run(15 * MS);
    for (let n = a.read(0x39) & 0x3f; n; n--) seen.push(a.sample()[0]);
  }
  assert.ok(seen.length > 550);
  for (let i = 1; i < seen.length; i++) assert.equal(seen[i], seen[i - 1] + 1);
  assert.equal(a.read(0x30) & 1, 0, 'no overrun');
  assert.deepEqual(bench.reports, []);
});

test('ADXL345: a stream that is not read keeps the newest 32 and says overrun; a FIFO keeps the oldest', () => {
  for (const [mode, newest] of [[0x80, true], [0x40, false]]) {
    const bench = new Bench();
    const a = new Adxl(bench, counting(800));
    a.write(0x31, 0x0b);
    a.write(0x2c, 0x0d);
    a.write(0x38, mode | 16);
    a.write(0x2d, 0x08);
    const start = bench.now;
    bench.run(500 * MS);
    assert.equal(a.read(0x39), 32);
    assert.equal(a.read(0x30) & 0x83, 0x83);
    const oldest = a.sample()[0] + 256;
    const now = newest ? bench.now : start + 42 * MS;
    assert.ok(Math.abs(oldest - ((now / S) * 800 - 32)) < 3, `${oldest}`);
    assert.equal(a.read(0x30) & 1, 0, 'reading clears overrun');
    a.write(0x38, 0);
    assert.equal(a.read(0x39), 0, 'bypass empties it');
  }
});

test('ADXL345: watermark raises the chosen pin at its sample, and reading lowers it', () => {
  const bench = new Bench();
  const a = new Adxl(bench);
  a.write(0x2c, 0x0d);
  a.write(0x2f, 0x02); // watermark on INT2
  a.write(0x2e, 0x02);
  a.write(0x38, 0x80 | 20);
  a.write(0x2d, 0x08);
  const start = bench.now;
  bench.run(100 * MS);
  const expected = start + 1.25 * MS + 1.1 * MS + 19 * 1.25 * MS;
  assert.ok(Math.abs(bench.when(a.chip, 'int2') - expected) < 100);
  assert.equal(bench.when(a.chip, 'int1'), undefined);
  const entries = a.read(0x39);
  for (let i = 0; i < entries - 10; i++) a.sample();
  assert.equal(a.chip.levels[1], 0);
});

test('ADXL345: data ready, inverted', () => {
  const bench = new Bench();
  const a = new Adxl(bench);
  a.write(0x31, 0x20);
  assert.equal(a.chip.levels[0], 1);
  a.write(0x2e, 0x80);
  a.write(0x2d, 0x08);
  bench.run(50 * MS);
  assert.equal(a.chip.levels[0], 0);
  a.sample();
  assert.equal(a.chip.levels[0], 1);
});

test('ADXL345: trigger keeps what was before the event and fills up', () => {
  const bench = new Bench();
  let event = Infinity;
  const a = new Adxl(bench, (ns) => [ns >= event ? 1.5 : 0, 0, 0]);
  a.write(0x2c, 0x0a);
  a.write(0x24, 16); // activity above 1 g
  a.write(0x27, 0x70); // dc, all axes
  a.write(0x2e, 0x10);
  a.write(0x38, 0xc0 | 8);
  a.write(0x2d, 0x08);
  bench.run(500 * MS);
  assert.equal(a.read(0x39), 32);
  event = bench.now;
  bench.run(100 * MS);
  assert.equal(a.read(0x39) & 0x80, 0x80);
  bench.run(500 * MS);
  assert.equal(a.read(0x39), 0x80 | 32);
  const x = Array.from({ length: 32 }, () => a.sample()[0]);
  assert.deepEqual(x.slice(0, 7), new Array(7).fill(0));
  assert.ok(x.slice(8).every((value) => value > 300));
});

test('ADXL345: free fall and inactivity (registers 0x25 to 0x29)', () => {
  const bench = new Bench();
  let falls = false;
  let moves = true;
  const a = new Adxl(bench, (ns) => (falls ? [0, 0, 0.1] : [moves ? Math.sign(Math.sin((ns / S) * 300)) : 0, 0, 1]));
  a.write(0x2c, 0x0a); // 100 Hz
  a.write(0x28, 7); // 437.5 mg
  a.write(0x29, 20); // 100 ms
  a.write(0x25, 4); // 250 mg
  a.write(0x26, 2); // 2 s
  a.write(0x27, 0x0f); // inactivity: ac, all axes
  a.write(0x2e, 0x0c);
  a.write(0x2f, 0x04); // free fall on INT2
  a.write(0x2d, 0x08);
  bench.run(5 * S);
  assert.deepEqual(a.chip.levels, [0, 0]);
  falls = true;
  bench.run(80 * MS);
  assert.equal(a.chip.levels[1], 0);
  bench.run(60 * MS);
  assert.equal(a.chip.levels[1], 1);
  assert.equal(a.read(0x30) & 0x0c, 0x04);
  falls = false;
  moves = false;
  bench.run(1.9 * S);
  assert.equal(a.read(0x30) & 0x0c, 0, 'lowered by reading, and not raised again');
  bench.run(0.2 * S);
  assert.deepEqual(a.chip.levels, [1, 0]);
  assert.equal(a.read(0x30) & 0x0c, 0x08);
  assert.deepEqual(bench.reports, []);
});

test('ADXL345: reading the FIFO again within 5 µs is reported', () => {
  const bench = new Bench();
  const a = new Adxl(bench);
  a.write(0x38, 0x80);
  a.write(0x2d, 0x08);
  bench.run(200 * MS);
  spi(a.chip, 0xf2, 0, 0, 0, 0, 0, 0);
  spi(a.chip, 0xf2, 0, 0, 0, 0, 0, 0);
  assert.match(bench.reports.join(), /5 µs/);
});

test('ADXL345: a chip that nobody reads needs no alarms', () => {
  const bench = new Bench();
  const a = new Adxl(bench);
  a.write(0x38, 0x80 | 16);
  a.write(0x2d, 0x08);
  assert.equal(bench.clock.nextEventNanos, Infinity);
});

class Lis {
  constructor(bench, signal) {
    this.bench = bench;
    this.chip = bench.accelerometer(Lis3dh, signal);
  }
  read(address) {
    return spi(this.chip, 0x80 | address, 0)[1];
  }
  write(address, value) {
    spi(this.chip, address, value);
  }
  samples(count = 1) {
    const bytes = spi(this.chip, 0xc0 | 0x28, ...new Array(6 * count).fill(0)).slice(1);
    return Array.from({ length: count }, (_, i) => [0, 2, 4].map((j) => word(bytes[6 * i + j], bytes[6 * i + j + 1])));
  }
}

test('LIS3DH: identity and reset values', () => {
  const a = new Lis(new Bench());
  assert.equal(a.read(0x0f), 0x33);
  assert.equal(a.read(0x20), 0x07);
  a.write(0x0f, 0);
  assert.equal(a.read(0x0f), 0x33);
});

for (const [what, ctrl1, ctrl4, g, expected] of [
  ['high resolution ±2 g', 0x57, 0x08, 1, 1000 << 4],
  ['high resolution ±4 g', 0x57, 0x18, 1, 500 << 4],
  ['high resolution ±8 g', 0x57, 0x28, 1, 250 << 4],
  ['high resolution ±16 g', 0x57, 0x38, 1.2, 100 << 4],
  ['normal ±2 g', 0x57, 0x00, 1, 250 << 6],
  ['low power ±2 g', 0x5f, 0x00, 1, 63 << 8], // 16 mg a digit
  ['clipped at ±2 g', 0x57, 0x08, 3, 2047 << 4],
  ['clipped at -2 g', 0x57, 0x08, -3, -2048 << 4],
]) {
  test(`LIS3DH: ${what}`, () => {
    const bench = new Bench();
    const a = new Lis(bench, () => [g, 0, 0]);
    a.write(0x23, ctrl4);
    a.write(0x20, ctrl1);
    bench.run(200 * MS);
    assert.equal(a.samples()[0][0], expected);
  });
}

test('LIS3DH: an axis that is switched off reads 0', () => {
  const bench = new Bench();
  const a = new Lis(bench, () => [1, 1, 1]);
  a.write(0x20, 0x55);
  bench.run(200 * MS);
  const [[x, y, z]] = a.samples();
  assert.ok(x > 0 && y === 0 && z > 0);
});

test('LIS3DH: a burst reads the whole FIFO, in order', () => {
  const bench = new Bench();
  const a = new Lis(bench, (ns) => [Math.round((ns / S) * 400) / 1000 - 1, 0, 0]);
  a.write(0x23, 0x08);
  a.write(0x24, 0x40);
  a.write(0x2e, 0x80 | 15);
  a.write(0x20, 0x77); // 400 Hz
  const seen = [];
  for (let i = 0; i < 20; i++) {
    bench.run(50 * MS);
    const unread = a.read(0x2f) & 0x1f;
    seen.push(...a.samples(unread).map(([x]) => x >> 4));
  }
  assert.ok(seen.length > 350);
  for (let i = 1; i < seen.length; i++) assert.equal(seen[i], seen[i - 1] + 1);
});

test('LIS3DH: watermark on INT1 at FTH + 1 samples, overrun when full', () => {
  const bench = new Bench();
  const a = new Lis(bench);
  a.write(0x22, 0x04);
  a.write(0x24, 0x40);
  a.write(0x2e, 0x80 | 9);
  a.write(0x20, 0x57); // 100 Hz, normal: on after 1.6 ms, the first sample a period later
  const start = bench.now;
  bench.run(300 * MS);
  assert.ok(Math.abs(bench.when(a.chip, 'int1') - (start + 100 * MS)) < 100);
  bench.run(300 * MS);
  assert.equal(a.read(0x2f), 0x80 | 0x40 | 31);
  a.samples(25);
  assert.equal(a.read(0x2f), 7);
  assert.equal(a.chip.levels[0], 0);
  a.write(0x2e, 0x00);
  assert.equal(a.read(0x2f) & 0x20, 0x20, 'bypass empties it');
});

test('LIS3DH: the inertial interrupt, for longer than INT1_DURATION, latched or not', () => {
  for (const latched of [false, true]) {
    const bench = new Bench();
    let x = 0;
    const a = new Lis(bench, () => [x, 0, 1]);
    a.write(0x23, 0x08);
    a.write(0x24, latched ? 0x08 : 0);
    a.write(0x22, 0x40);
    a.write(0x32, 31); // 496 mg
    a.write(0x33, 10);
    a.write(0x30, 0x02); // XHIE
    a.write(0x20, 0x57); // 100 Hz
    bench.run(S);
    assert.equal(a.chip.levels[0], 0, 'z is above the threshold, and is not asked for');
    x = -0.8;
    bench.run(90 * MS);
    assert.equal(a.chip.levels[0], 0);
    bench.run(40 * MS);
    assert.equal(a.chip.levels[0], 1);
    x = 0;
    bench.run(30 * MS);
    assert.equal(a.chip.levels[0], latched ? 1 : 0);
    assert.equal(a.read(0x31), latched ? 0x42 : 0);
    assert.equal(a.chip.levels[0], 0);
    assert.deepEqual(bench.reports, []);
  }
});

test('LIS3DH: stream-to-FIFO keeps the samples from the interrupt on, until bypass', () => {
  const bench = new Bench();
  let event = Infinity;
  const a = new Lis(bench, (ns) => [ns >= event ? 1.5 : 0, 0, 0]);
  a.write(0x23, 0x08);
  a.write(0x24, 0x40);
  a.write(0x32, 62); // 992 mg
  a.write(0x30, 0x02);
  a.write(0x2e, 0xc0);
  a.write(0x20, 0x57);
  bench.run(S);
  a.samples(28); // four are left
  event = bench.now;
  bench.run(2 * S);
  const x = a.samples(32).map(([value]) => value);
  assert.deepEqual(x.slice(4), new Array(28).fill(1500 << 4));
  assert.ok(x.slice(0, 3).every((value) => value === 0));
  a.write(0x2e, 0x00);
  a.write(0x2e, 0xc0);
  assert.equal(a.read(0x2f) & 0x3f, 0x20, 'empty');
});

test('LIS3DH: without the bit for it the address stands still', () => {
  const a = new Lis(new Bench());
  assert.deepEqual(spi(a.chip, 0x80 | 0x0f, 0, 0, 0).slice(1), [0x33, 0x33, 0x33]);
});

test('both answer on I2C', () => {
  for (const [Chip, address, register, grow, value] of [[Adxl345, 0x53, 0x00, 0, 0xe5], [Lis3dh, 0x18, 0x0f, 0x80, 0x33]]) {
    const bench = new Bench();
    const chip = bench.accelerometer(Chip);
    assert.equal(chip.i2cAddress, address);
    assert.ok(chip.i2cStart(false));
    assert.ok(chip.i2cWrite(register | grow));
    chip.i2cStop();
    assert.ok(chip.i2cStart(true));
    assert.equal(chip.i2cRead(), value);
    chip.i2cStop();
    chip.powerOff();
    assert.equal(chip.i2cStart(false), false, 'without power nobody answers');
  }
});
