/**
 * node bare_rp2040.mjs IMAGE < STEPS: functions of an image without a system, called on the emulated RP2040.
 *
 * IMAGE lies at the start of RAM. STEPS is a JSON list of {guard, name}, {write, data}, {call, args} and {read, length}; what reads and
 * calls give ({cycles, result}) is printed as a JSON list. Cycles are those of the instructions, from the first of the function to its
 * return. A function that is called, or guarded and called by another one, has to keep r4 to r11 and the stack pointer.
 */

import { readFileSync } from 'node:fs';
import { RP2040 } from '../../tools/fieldelm_tools/emulator/node_modules/rp2040js/dist/esm/index.js';

const RAM = 0x20000000;
const STACK = RAM + 0x41000;
const RETURN = RAM + 0x3f000; // where a function returns to; nothing is executed there
const INSTRUCTIONS = 1e9;

const mcu = new RP2040();
const fail = (text) => {
  throw new Error(text);
};
mcu.logger = { debug() {}, info() {}, warn: (part, text) => fail(`${part}: ${text}`), error: (part, text) => fail(`${part}: ${text}`) };
mcu.onBreak = (code) => fail(`breakpoint ${code}`);
mcu.sram.set(readFileSync(process.argv[2]), 0);

const guarded = new Uint8Array(mcu.sram.length >> 1); // by half words: whether a function begins there
const names = new Map();
const preserved = [4, 5, 6, 7, 8, 9, 10, 11];

function entered({ PC, SP, LR, registers }) {
  return { name: names.get(PC) ?? `0x${PC.toString(16)}`, SP, LR: LR & ~1, kept: preserved.map((i) => registers[i]) };
}

function returned(frame, core) {
  const spoilt = preserved.filter((i, place) => core.registers[i] !== frame.kept[place]).map((i) => `r${i}`);
  if (core.SP !== frame.SP) spoilt.push('sp');
  if (spoilt.length) fail(`${frame.name} spoiled ${spoilt.join(', ')}`);
}

function call(address, args) {
  const { core } = mcu;
  const onStack = args.slice(4);
  const sp = STACK - 4 * ((onStack.length + 1) & ~1);
  onStack.forEach((value, i) => mcu.sramView.setUint32(sp - RAM + 4 * i, value >>> 0, true));
  args.slice(0, 4).forEach((value, i) => (core.registers[i] = value | 0));
  preserved.forEach((i) => (core.registers[i] = 0x1000 + i));
  core.SP = sp;
  core.LR = RETURN | 1;
  core.PC = address & ~1;
  const frames = [entered(core)];
  let cycles = 0;
  for (let i = 0; frames.length; i++) {
    cycles += core.executeInstruction();
    if (i > INSTRUCTIONS) fail(`no return from 0x${address.toString(16)}`);
    if (core.PC === frames.at(-1).LR) returned(frames.pop(), core);
    else if (guarded[(core.PC - RAM) >> 1]) frames.push(entered(core));
  }
  return { cycles, result: core.registers[0] >>> 0 };
}

const answers = [];
for (const step of JSON.parse(readFileSync(0, 'utf8'))) {
  if (step.guard) {
    guarded[(step.guard - RAM) >> 1] = 1;
    names.set(step.guard, step.name);
  } else if (step.write) mcu.sram.set(Buffer.from(step.data, 'hex'), step.write - RAM);
  else if (step.read) answers.push(Buffer.from(mcu.sram.subarray(step.read - RAM, step.read - RAM + step.length)).toString('hex'));
  else answers.push(call(step.call, step.args));
}
process.stdout.write(JSON.stringify(answers));
