/**
 * The Pico's flash memory (W25Q16JV: 2 MB, sectors of 4 kB, pages of 256 bytes): erasing sets bits, programming clears
 * them, both take their time, and the power may go in the middle of either.
 */

import fs from 'node:fs';

export const SECTOR = 4096;
export const PAGE = 256;
const BLOCK = 65536;
const XIP = 0x10000000;

// W25Q16JV datasheet, 9.6 AC electrical characteristics, typical
const ERASE_SECTOR_NS = 45_000_000;
const ERASE_BLOCK_NS = 150_000_000;
const PROGRAM_PAGE_NS = 400_000;

const UF2_MAGIC = [0x0a324655, 0x9e5d5157, 0x0ab16f30];
const UF2_FAMILY_RP2040 = 0xe48bff56;
const UF2_NOT_MAIN_FLASH = 1;
const UF2_HAS_FAMILY = 0x2000;

/** The power went while the flash was being changed. */
export class PowerCut extends Error {}

/** Blocks of a UF2 file as `[address, bytes]`. Throws an `Error` that says what is wrong with it. */
export function readUf2(file) {
  const data = fs.readFileSync(file);
  if (data.length === 0 || data.length % 512) throw new Error(`${file} is no UF2 file: its length is no multiple of 512`);
  const blocks = [];
  for (let at = 0; at < data.length; at += 512) {
    const word = (offset) => data.readUInt32LE(at + offset);
    if (word(0) !== UF2_MAGIC[0] || word(4) !== UF2_MAGIC[1] || word(508) !== UF2_MAGIC[2]) {
      throw new Error(`${file} is no UF2 file: block ${at / 512} has no UF2 magic`);
    }
    const flags = word(8);
    if (flags & UF2_NOT_MAIN_FLASH) continue;
    if (flags & UF2_HAS_FAMILY && word(28) !== UF2_FAMILY_RP2040) {
      throw new Error(`${file} is for another chip (family 0x${word(28).toString(16)}); the emulated Pico is an RP2040`);
    }
    blocks.push([word(12), data.subarray(at + 32, at + 32 + word(16))]);
  }
  return blocks;
}

/** mulberry32: a small generator, so that a power cut damages the same bits every time. */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** The memory, and the file (if any) that keeps it. */
export class Flash {
  /** `file`: image that outlives the emulator; it is read now, and every change is written to it at once. */
  constructor({ size = 2 * 1024 * 1024, file = null } = {}) {
    this.size = size;
    this.data = new Uint8Array(16 * 1024 * 1024).fill(0xff); // the whole window at 0x10000000
    this.operations = 0; // sectors and blocks erased and pages programmed since the start
    this.cut = null;
    this.handle = null;
    if (file) {
      if (fs.existsSync(file)) {
        const image = fs.readFileSync(file);
        if (image.length > size) throw new Error(`${file} has ${image.length} bytes; the flash holds ${size}`);
        this.data.set(image);
      }
      this.handle = fs.openSync(file, fs.existsSync(file) ? 'r+' : 'w+');
      this.keep(0, size);
    }
  }

  /** Put the content of a UF2 file where it belongs. */
  load(file) {
    for (const [address, bytes] of readUf2(file)) {
      const offset = address - XIP;
      if (offset < 0 || offset + bytes.length > this.size) {
        throw new Error(`${file} does not fit: it has data for address 0x${address.toString(16)}`);
      }
      this.data.set(bytes, offset);
    }
    this.keep(0, this.size);
  }

  /**
   * Let the power fail in the `operation`-th erase or program from now (1: the next one), after `fraction` of it:
   * 0 leaves the memory as it was, 1 lets it finish first.
   */
  cutPower(operation, fraction = 0.5) {
    if (!(operation >= 1)) throw new Error('operation counts from 1');
    this.cut = { operation: this.operations + operation, fraction, random: generator(operation) };
  }

  /** Erase whole sectors. Yields the nanoseconds each step takes; throws `PowerCut`. */
  *erase(offset, count) {
    const end = offset + count;
    while (offset < end) {
      const length = offset % BLOCK === 0 && end - offset >= BLOCK ? BLOCK : SECTOR;
      const fraction = this.begin();
      if (fraction === null) {
        this.data.fill(0xff, offset, offset + length);
      } else {
        // erasing moves all cells of the sector together: in between, each bit reads as it likes
        const { random } = this.cut;
        for (let i = offset; i < offset + length; i++) {
          for (let bit = 1; bit < 256; bit <<= 1) if (random() < fraction) this.data[i] |= bit;
        }
      }
      this.keep(offset, length);
      yield (length === BLOCK ? ERASE_BLOCK_NS : ERASE_SECTOR_NS) * (fraction ?? 1);
      if (fraction !== null) this.fail();
      offset += length;
    }
  }

  /** Program bytes, page by page. Yields the nanoseconds each page takes; throws `PowerCut`. */
  *program(offset, bytes) {
    for (let done = 0; done < bytes.length; ) {
      const page = bytes.subarray(done, done + PAGE - ((offset + done) % PAGE));
      const fraction = this.begin();
      for (let i = 0; i < page.length; i++) {
        let clear = ~page[i] & 0xff;
        if (fraction !== null) {
          for (let bit = 1; bit < 256; bit <<= 1) if (this.cut.random() >= fraction) clear &= ~bit;
        }
        this.data[offset + done + i] &= ~clear;
      }
      this.keep(offset + done, page.length);
      yield PROGRAM_PAGE_NS * (fraction ?? 1);
      if (fraction !== null) this.fail();
      done += page.length;
    }
  }

  begin() {
    this.operations++;
    return this.cut && this.operations === this.cut.operation ? this.cut.fraction : null;
  }

  fail() {
    this.cut = null;
    throw new PowerCut(`power cut in flash operation ${this.operations}`);
  }

  keep(offset, length) {
    if (this.handle !== null) fs.writeSync(this.handle, this.data, offset, length, offset);
  }

  close() {
    if (this.handle !== null) fs.closeSync(this.handle);
    this.handle = null;
  }
}
