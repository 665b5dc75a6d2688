import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { Clock, ROOT, assert } from './support.mjs';

const { Flash, PowerCut } = await import(new URL('flash.mjs', ROOT));

const run = (steps) => [...steps].reduce((sum, nanos) => sum + nanos, 0);
const ones = (bytes) => bytes.reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);

test('erasing sets all bits of a sector, programming clears bits, both take their time', () => {
  const flash = new Flash();
  assert.equal(run(flash.program(0x1000, Uint8Array.from([0x0f, 0x55]))), 400_000);
  run(flash.program(0x1000, Uint8Array.from([0xf0, 0xff])));
  assert.deepEqual([...flash.data.subarray(0x1000, 0x1002)], [0x00, 0x55]);
  assert.equal(run(flash.erase(0x1000, 4096)), 45_000_000);
  assert.equal(flash.data[0x1000], 0xff);
  assert.equal(run(flash.erase(0, 65536)), 150_000_000, 'a block at once');
  assert.equal(run(flash.program(0, new Uint8Array(1000))), 4 * 400_000);
});

test('a power cut leaves a sector half erased, a page half programmed, and the rest alone', () => {
  const flash = new Flash();
  flash.data.fill(0, 0, 8192);
  flash.cutPower(2, 0.5);
  assert.throws(() => run(flash.erase(0, 8192)), PowerCut);
  assert.equal(ones([...flash.data.subarray(0, 4096)]), 4096 * 8);
  const half = ones([...flash.data.subarray(4096, 8192)]) / (4096 * 8);
  assert.ok(half > 0.45 && half < 0.55, String(half));
  flash.cutPower(1, 0.25);
  assert.throws(() => run(flash.program(0, new Uint8Array(256))), PowerCut);
  const left = ones([...flash.data.subarray(0, 256)]) / 2048;
  assert.ok(left > 0.65 && left < 0.85, String(left));
  run(flash.program(256, new Uint8Array(256)));
});

test('the same cut damages the same bits', () => {
  const image = () => {
    const flash = new Flash();
    flash.data.fill(0, 0, 4096);
    flash.cutPower(1, 0.5);
    assert.throws(() => run(flash.erase(0, 4096)), PowerCut);
    return Buffer.from(flash.data.subarray(0, 4096));
  };
  assert.deepEqual(image(), image());
});

test('the image on disk has every change as soon as it is made', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'flash-'));
  const file = path.join(folder, 'pico.flash');
  const flash = new Flash({ file });
  run(flash.program(0x12345, Uint8Array.from([1, 2, 3])));
  assert.deepEqual([...fs.readFileSync(file).subarray(0x12345, 0x12348)], [1, 2, 3]);
  flash.close();
  const again = new Flash({ file });
  assert.equal(again.data[0x12346], 2);
  again.close();
  fs.rmSync(folder, { recursive: true });
});

test('a file that is no UF2, or for another chip, is refused with its name', () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'flash-'));
  const file = path.join(folder, 'bad.uf2');
  const flash = new Flash();
  for (const [content, why] of [[Buffer.alloc(0), /no UF2/], [Buffer.alloc(500), /512/], [Buffer.alloc(512), /magic/]]) {
    fs.writeFileSync(file, content);
    assert.throws(() => flash.load(file), why);
  }
  const block = Buffer.alloc(512);
  [0x0a324655, 0x9e5d5157, 0x2000, 0x10000000, 256, 0, 1, 0xe48bff59].forEach((word, i) => block.writeUInt32LE(word, 4 * i));
  block.writeUInt32LE(0x0ab16f30, 508);
  fs.writeFileSync(file, block);
  assert.throws(() => flash.load(file), /another chip/);
  fs.rmSync(folder, { recursive: true });
});

test('the clock counts exactly for hours, at any frequency', () => {
  for (const hz of [125_000_000, 133_000_000, 12_000_000]) {
    const clock = new Clock();
    clock.setFrequency(hz);
    let ticks = 0;
    const alarm = clock.createAlarm(() => {
      ticks++;
      alarm.at(alarm.nanos + 1e9);
    });
    alarm.at(1e9);
    clock.advance(7200e9);
    assert.equal(ticks, 7200);
    assert.ok(clock.nanos >= 7200e9 && clock.nanos < 7200e9 + 1e9 / hz + 1);
    const before = clock.nanos;
    for (let i = 0; i < 1000; i++) {
      clock.cycles += hz / 1000;
      clock.settle();
    }
    assert.ok(Math.abs(clock.nanos - before - 1e9) <= 1);
  }
});

test('alarms run in order of time, first come first served, and may be cancelled', () => {
  const clock = new Clock();
  const seen = [];
  clock.at(300, () => seen.push('c'));
  clock.at(100, () => seen.push('a'));
  const cancelled = clock.at(200, () => seen.push('never'));
  clock.at(100, () => seen.push('b'));
  cancelled.cancel();
  clock.advance(1000);
  assert.deepEqual(seen, ['a', 'b', 'c']);
});
