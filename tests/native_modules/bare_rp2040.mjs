/**
 * node bare_rp2040.mjs IMAGE < STEPS: functions of an image without a system, called on the emulated RP2040.
 *
 * IMAGE lies at the start of RAM. STEPS is a JSON list of {write, data}, {call, args} and {read, length}; what reads and calls give
 * ({cycles, result}) is printed as a JSON list. Cycles are those of the instructions, from the first of the function to its return.
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

function call(address, args) {
  const { core } = mcu;
  const onStack = args.slice(4);
  const sp = STACK - 4 * ((onStack.length + 1) & ~1);
  onStack.forEach((value, i) => mcu.sramView.setUint32(sp - RAM + 4 * i, value >>> 0, true));
  args.slice(0, 4).forEach((value, i) => (core.registers[i] = value | 0));
  const preserved = [4, 5, 6, 7, 8, 9, 10, 11];
  preserved.forEach((i) => (core.registers[i] = 0x1000 + i));
  core.SP = sp;
  core.LR = RETURN | 1;
  core.PC = address & ~1;
  let cycles = 0;
  for (let i = 0; (core.PC & ~1) !== RETURN; i++) {
    cycles += core.executeInstruction();
    if (i > INSTRUCTIONS) fail(`no return from 0x${address.toString(16)}`);
  }
  if (core.SP !== sp || preserved.some((i) => core.registers[i] !== 0x1000 + i)) fail(`0x${address.toString(16)} spoiled registers`);
  return { cycles, result: core.registers[0] >>> 0 };
}

const answers = [];
for (const step of JSON.parse(readFileSync(0, 'utf8'))) {
  if (step.write) mcu.sram.set(Buffer.from(step.data, 'hex'), step.write - RAM);
  else if (step.read) answers.push(Buffer.from(mcu.sram.subarray(step.read - RAM, step.read - RAM + step.length)).toString('hex'));
  else answers.push(call(step.call, step.args));
}
process.stdout.write(JSON.stringify(answers));
