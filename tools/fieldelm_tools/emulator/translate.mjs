/**
 * Executes Thumb code faster than an interpreter: straight pieces that run often are translated to JavaScript.
 *
 * A translated piece does what rp2040js's interpreter does, and counts the same cycles. It runs only if it ends before the
 * next alarm is due, and it ends after every store that may have changed more than memory, so that interrupts are taken
 * at the same instruction, at the same cycle, with and without translation. Whatever it does not know, and everything
 * that is rare, is left to the interpreter. Instructions: ARMv6-M Architecture Reference Manual, A5.2 and A6.7.
 */

import { blockSource } from './thumb.mjs';

const SRAM = 0x20000000;
const SRAM_BYTES = 264 * 1024;
const FLASH_BYTES = 2 * 1024 * 1024;
const ROM_BYTES = 16 * 1024;
const PAGE_SHIFT = 6; // code in RAM is watched in pieces of 64 bytes
const OFTEN = 12; // executions before a piece is translated
const MOST_CHANGES = 40; // of a piece of RAM, before it is no longer translated
const PUSH_LR = 0xb5;

const functions = new Map(); // source text → function, for all Picos

function compile(source) {
  let compiled = functions.get(source);
  if (!compiled) {
    compiled = new Function('x', 'budget', source);
    functions.set(source, compiled);
  }
  return compiled;
}

/** Extra cycles of a load or store: none for SIO, one for memory, more on the APB (as the interpreter counts them). */
function busCycles(address, write) {
  if (address >= 0xd0000000 && address < 0xe0000000) return 0;
  if (address >= 0x40000000 && address < 0x50000000) return write ? 4 : 3;
  return 1;
}

/** What translated code works on. */
export class Translator {
  /** `mcu`: an RP2040 of rp2040js; `clock`: its time; `active`: false leaves everything to the interpreter. */
  constructor(mcu, clock, active = true) {
    this.often = active ? OFTEN : Infinity;
    this.mcu = mcu;
    this.clock = clock;
    this.core = mcu.core;
    this.r = mcu.core.registers;
    this.s8 = mcu.sram;
    this.s16 = new Uint16Array(mcu.sram.buffer);
    this.s32 = new Uint32Array(mcu.sram.buffer);
    this.flash = new Uint32Array(mcu.flash.buffer);
    this.codePages = new Uint8Array(SRAM_BYTES >> PAGE_SHIFT);
    this.changes = new Uint8Array(SRAM_BYTES >> PAGE_SHIFT);
    this.pageBlocks = new Map();
    this.romBlocks = new Array(ROM_BYTES >> 1);
    this.flashBlocks = new Array(FLASH_BYTES >> 1);
    this.ramBlocks = new Array(SRAM_BYTES >> 1);
    this.credited = 0; // cycles of the running piece that the clock has already
    this.extra = 0; // cycles that accesses of the running piece took more than usual
    this.watchWrites();
  }

  /** Writes that come from elsewhere (interpreter, exceptions, DMA) may change translated code, too. */
  watchWrites() {
    const { mcu } = this;
    for (const name of ['writeUint8', 'writeUint16', 'writeUint32']) {
      const write = mcu[name].bind(mcu);
      mcu[name] = (address, value) => {
        const offset = (address - SRAM) >>> 0;
        if (offset < SRAM_BYTES && this.codePages[offset >> PAGE_SHIFT]) this.codeChanged(offset >> PAGE_SHIFT);
        write(address, value);
      };
    }
  }

  codeChanged(page) {
    this.changes[page] = Math.min(255, this.changes[page] + 1);
    for (const index of this.pageBlocks.get(page) ?? []) this.ramBlocks[index] = undefined;
    this.pageBlocks.delete(page);
    this.codePages[page] = 0;
  }

  flashChanged(offset, length) {
    this.flashBlocks.fill(undefined, Math.max(0, (offset >> 1) - 64), (offset + length) >> 1);
  }

  // ---- memory accesses that are not plain RAM; `cycles`: of the piece so far

  sync(cycles) {
    const total = cycles + this.extra;
    this.clock.cycles += total - this.credited;
    this.credited = total;
  }

  slow(address, cycles, write) {
    this.sync(cycles);
    this.extra += busCycles(address, write) - 1;
  }

  ld32(address, cycles) {
    if (address >>> 24 === 0x10 && !(address & 3)) return this.flash[(address & 0xffffff) >>> 2];
    this.slow(address, cycles, false);
    return this.mcu.readUint32(address) >>> 0;
  }

  ld16(address, cycles) {
    if (address >>> 24 === 0x10 && !(address & 1)) return (this.flash[(address & 0xffffff) >>> 2] >>> ((address & 2) << 3)) & 0xffff;
    this.slow(address, cycles, false);
    return this.mcu.readUint16(address);
  }

  ld8(address, cycles) {
    if (address >>> 24 === 0x10) return (this.flash[(address & 0xffffff) >>> 2] >>> ((address & 3) << 3)) & 0xff;
    this.slow(address, cycles, false);
    return this.mcu.readUint8(address);
  }

  /** One word of several (LDM, POP): always one cycle. */
  ldm(address, cycles) {
    this.sync(cycles);
    return this.mcu.readUint32(address) >>> 0;
  }

  st32(address, value, cycles) {
    this.slow(address, cycles, true);
    this.mcu.writeUint32(address, value);
  }

  st16(address, value, cycles) {
    this.slow(address, cycles, true);
    this.mcu.writeUint16(address, value & 0xffff);
  }

  st8(address, value, cycles) {
    this.slow(address, cycles, true);
    this.mcu.writeUint8(address, value & 0xff);
  }

  stm(address, value, cycles) {
    this.sync(cycles);
    this.mcu.writeUint32(address, value);
  }

  // ---- execution

  /** Run until an alarm is due or the processor sleeps. Returns the cycles that were executed. */
  run() {
    const { clock, core, r, often, romBlocks, flashBlocks, ramBlocks } = this;
    let executed = 0;
    while (clock.cycles < clock.wakeCycles && !core.waiting) {
      if (!core.interruptsUpdated) {
        const pc = (r[15] & ~1) >>> 0; // an exception handler's address keeps its Thumb bit
        const region = pc >>> 24;
        const blocks = region === 0x10 ? flashBlocks : region === 0x20 ? ramBlocks : region === 0 ? romBlocks : null;
        if (blocks) {
          const index = (pc & 0xffffff) >>> 1;
          const block = blocks[index];
          if (typeof block === 'object') {
            const budget = clock.wakeCycles - clock.cycles;
            if (block.most <= budget) {
              const cycles = block.run(this, budget) + this.extra;
              clock.cycles += cycles - this.credited;
              this.credited = 0;
              this.extra = 0;
              executed += cycles;
              continue;
            }
          } else if (block === undefined) blocks[index] = 1;
          else if (block > 0 && block < often) blocks[index] = block + 1;
          else if (block > 0 && this.translate(pc, blocks, index)) continue;
        }
      }
      const longPush = this.mcu.readUint16(r[15] & ~1) >> 8 === PUSH_LR;
      // the interpreter forgets the cycle of LR (Cortex-M0+ TRM, table 3-1: PUSH takes 1 + N)
      const cycles = core.executeInstruction() + (longPush ? 1 : 0);
      clock.cycles += cycles;
      executed += cycles;
    }
    return executed;
  }

  /** Translate the piece at `pc`. Returns whether that was possible; if not, it is not tried again. */
  translate(pc, blocks, index) {
    const inRam = blocks === this.ramBlocks;
    const offset = pc - SRAM;
    if (inRam && this.changes[offset >> PAGE_SHIFT] > MOST_CHANGES) {
      blocks[index] = 0;
      return false;
    }
    const piece = blockSource(pc, (address) => this.mcu.readUint16(address), inRam ? null : (address) => this.mcu.readUint32(address));
    if (!piece) {
      blocks[index] = 0;
      return false;
    }
    blocks[index] = { run: compile(piece.source), most: piece.most };
    if (inRam) {
      for (let page = offset >> PAGE_SHIFT; page <= (piece.end - 1 - SRAM) >> PAGE_SHIFT; page++) {
        this.codePages[page] = 1;
        if (!this.pageBlocks.has(page)) this.pageBlocks.set(page, new Set());
        this.pageBlocks.get(page).add(index);
      }
    }
    return true;
  }
}
