/**
 * Thumb instructions (ARMv6-M) as JavaScript text: one straight piece of code, up to its first branch.
 *
 * In the text `r` are the registers, `q` is the last result that set N and Z, `C` and `V` are the flags, `n` counts the
 * cycles of finished rounds where the piece is a loop, and `x` is the `Translator`, which does the rare accesses.
 */

const MOST_INSTRUCTIONS = 40;
const SRAM = 0x20000000;
const SRAM_BYTES = 264 * 1024;
const SLOWEST_ACCESS = 3; // cycles that an access may take more than one to memory

const CONDITIONS = [
  'q===0', 'q!==0', 'C', '!C', 'q<0', 'q>=0', 'V', '!V', 'C&&q!==0', '!C||q===0', '(q<0)===V', '(q<0)!==V',
  'q!==0&&(q<0)===V', 'q===0||(q<0)!==V',
]; // prettier-ignore

const FLAGS_IN = 'let q=c.Z?0:c.N?-1:1,C=c.C,V=c.V;';
const FLAGS_OUT = 'c.N=q<0;c.Z=q===0;c.C=C;c.V=V;';

const hex = (value) => `0x${(value >>> 0).toString(16)}`;
const subtract = (a, b) => `a=${a};b=${b};q=(a-b)|0;C=(a>>>0)>=(b>>>0);V=((a^b)&(a^q))<0;`;
const add = (a, b) => `a=${a};b=${b};q=(a+b)|0;C=(q>>>0)<(a>>>0);V=(~(a^b)&(a^q))<0;`;

/** Registers named in the list of PUSH, POP, LDM and STM. */
const listed = (list, last = 8) => Array.from({ length: last }, (_, i) => i).filter((i) => list & (1 << i));

class Piece {
  constructor(start, read16, literal) {
    this.start = start;
    this.read16 = read16;
    this.literal = literal; // reads constants that cannot change, or null
    this.lines = [];
    this.cycles = 0;
    this.accesses = 0;
    this.pc = start;
    this.ended = false;
    this.loops = false;
  }

  emit(text, cycles = 1) {
    this.lines.push(text);
    this.cycles += cycles;
  }

  get at() {
    return `n+${this.cycles}`;
  }

  /** Leave the piece: `after` cycles in this instruction, to go on at `next`. */
  leave(next, after) {
    return `r[15]=${hex(next)};${FLAGS_OUT}return n+${this.cycles + after};`;
  }

  load(target, address, bits, signed = false) {
    this.accesses++;
    const align = bits / 8 - 1;
    const index = bits === 8 ? 'o' : `o>>>${bits === 16 ? 1 : 2}`;
    const value = `(o<${SRAM_BYTES - align}${align ? `&&!(o&${align})` : ''}?x.s${bits}[${index}]:x.ld${bits}(a>>>0,${this.at}))`;
    const extended = signed ? `(${value}<<${32 - bits})>>${32 - bits}` : value;
    this.emit(`a=${address};o=(a-${SRAM})>>>0;r[${target}]=${extended};`, 2);
  }

  store(source, address, bits) {
    this.accesses++;
    const align = bits / 8 - 1;
    const index = bits === 8 ? 'o' : `o>>>${bits === 16 ? 1 : 2}`;
    this.emit(
      `a=${address};o=(a-${SRAM})>>>0;if(o<${SRAM_BYTES - align}${align ? `&&!(o&${align})` : ''}&&x.codePages[o>>>6]===0)` +
        `x.s${bits}[${index}]=r[${source}];else{x.st${bits}(a>>>0,r[${source}],${this.at});${this.leave(this.pc, 2)}}`,
      2,
    );
  }

  /** Several words from `base` on; `then`: what follows. */
  storeMany(registers, base, then) {
    const count = registers.length;
    const fast = registers.map((register, i) => `x.s32[(o>>>2)+${i}]=r[${register}];`).join('');
    const slow = registers.map((register, i) => `x.stm((a+${4 * i})>>>0,r[${register}],${this.at});`).join('');
    const plain = `o<${SRAM_BYTES - 4 * count}&&!(o&3)&&x.codePages[o>>>6]===0&&x.codePages[(o+${4 * count - 4})>>>6]===0`;
    this.emit(
      `a=${base};o=(a-${SRAM})>>>0;if(${plain}){${fast}${then}}else{${slow}${then}${this.leave(this.pc, 1 + count)}}`,
      1 + count,
    );
  }

  loadMany(registers, base) {
    const count = registers.length;
    const fast = registers.map((register, i) => `r[${register}]=x.s32[(o>>>2)+${i}];`).join('');
    const slow = registers.map((register, i) => `r[${register}]=x.ldm((a+${4 * i})>>>0,${this.at});`).join('');
    return `a=${base};o=(a-${SRAM})>>>0;if(o<${SRAM_BYTES - 4 * count}&&!(o&3)){${fast}}else{${slow}}`;
  }

  end(text, cycles) {
    this.emit(text, cycles);
    this.ended = true;
  }

  /** Go on at a known address. */
  goTo(target, cycles, condition = null) {
    const total = this.cycles + cycles;
    if (target === this.start) {
      this.loops = true;
      const again = `n+=${total};if(n+x.extra+MOST<=budget)continue;r[15]=${hex(target)};${FLAGS_OUT}return n;`;
      return condition ? `if(${condition}){${again}}` : again;
    }
    const leave = `r[15]=${hex(target)};${FLAGS_OUT}return n+${total};`;
    return condition ? `if(${condition}){${leave}}` : leave;
  }

  /** Translate the instruction at `pc`. Returns false if the interpreter has to do it. */
  step() {
    const opcode = this.read16(this.pc);
    const before = this.pc;
    this.pc += 2;
    const done = this.translate(opcode, before);
    if (!done) this.pc = before;
    return done;
  }

  translate(op, at) {
    const d = op & 7;
    const m = (op >> 3) & 7;
    const imm5 = (op >> 6) & 31;
    const d8 = (op >> 8) & 7;
    const imm8 = op & 255;
    const result = (target) => `r[${target}]=q;`;
    switch (op >> 11) {
      case 0b00000: // LSLS, MOVS
        this.emit(imm5 ? `a=r[${m}];C=((a>>>${32 - imm5})&1)!==0;q=a<<${imm5};${result(d)}` : `q=r[${m}]|0;${result(d)}`);
        return true;
      case 0b00001: // LSRS
        this.emit(`a=r[${m}];C=((a>>>${imm5 ? imm5 - 1 : 31})&1)!==0;q=${imm5 ? `(a>>>${imm5})|0` : 0};${result(d)}`);
        return true;
      case 0b00010: // ASRS
        this.emit(`a=r[${m}]|0;C=((a>>>${imm5 ? imm5 - 1 : 31})&1)!==0;q=a>>${imm5 || 31};${result(d)}`);
        return true;
      case 0b00011: {
        // ADDS, SUBS: register or 3 bits
        const second = op & 0x400 ? `${(op >> 6) & 7}` : `r[${(op >> 6) & 7}]|0`;
        this.emit((op & 0x200 ? subtract : add)(`r[${m}]|0`, second) + result(d));
        return true;
      }
      case 0b00100:
        this.emit(`q=${imm8};${result(d8)}`);
        return true;
      case 0b00101:
        this.emit(subtract(`r[${d8}]|0`, imm8));
        return true;
      case 0b00110:
        this.emit(add(`r[${d8}]|0`, imm8) + result(d8));
        return true;
      case 0b00111:
        this.emit(subtract(`r[${d8}]|0`, imm8) + result(d8));
        return true;
      case 0b01000:
        return op & 0x400 ? this.highRegisters(op, at) : this.dataProcessing((op >> 6) & 15, d, m);
      case 0b01001: {
        // LDR literal
        const address = ((at + 4) & ~3) + imm8 * 4;
        if (this.literal) this.emit(`r[${d8}]=${hex(this.literal(address))};`, 2);
        else this.load(d8, hex(address), 32);
        return true;
      }
      case 0b01010:
      case 0b01011: {
        const address = `r[${m}]+r[${(op >> 6) & 7}]|0`;
        const [bits, signed] = [[32], [16], [8], [8, true], [32], [16], [8], [16, true]][(op >> 9) & 7];
        if (((op >> 9) & 7) < 3) this.store(d, address, bits);
        else this.load(d, address, bits, signed);
        return true;
      }
      case 0b01100:
        this.store(d, `r[${m}]+${imm5 * 4}|0`, 32);
        return true;
      case 0b01101:
        this.load(d, `r[${m}]+${imm5 * 4}|0`, 32);
        return true;
      case 0b01110:
        this.store(d, `r[${m}]+${imm5}|0`, 8);
        return true;
      case 0b01111:
        this.load(d, `r[${m}]+${imm5}|0`, 8);
        return true;
      case 0b10000:
        this.store(d, `r[${m}]+${imm5 * 2}|0`, 16);
        return true;
      case 0b10001:
        this.load(d, `r[${m}]+${imm5 * 2}|0`, 16);
        return true;
      case 0b10010:
        this.store(d8, `r[13]+${imm8 * 4}|0`, 32);
        return true;
      case 0b10011:
        this.load(d8, `r[13]+${imm8 * 4}|0`, 32);
        return true;
      case 0b10100:
        this.emit(`r[${d8}]=${hex(((at + 4) & ~3) + imm8 * 4)};`);
        return true;
      case 0b10101:
        this.emit(`r[${d8}]=r[13]+${imm8 * 4};`);
        return true;
      case 0b10110:
      case 0b10111:
        return this.miscellaneous(op);
      case 0b11000: {
        const registers = listed(imm8);
        if (!registers.length || registers.includes(d8)) return false;
        this.storeMany(registers, `r[${d8}]|0`, `r[${d8}]=a+${4 * registers.length};`);
        return true;
      }
      case 0b11001: {
        const registers = listed(imm8);
        if (!registers.length) return false;
        const back = registers.includes(d8) ? '' : `r[${d8}]=a+${4 * registers.length};`;
        this.emit(this.loadMany(registers, `r[${d8}]|0`) + back, 1 + registers.length);
        return true;
      }
      case 0b11010:
      case 0b11011: {
        const condition = CONDITIONS[(op >> 8) & 15];
        if (!condition) return false;
        const target = (at + 4 + ((op << 24) >> 23)) >>> 0;
        const taken = this.goTo(target, 2, condition);
        this.end(`${taken}${this.leave(this.pc, 1)}`, 2);
        return true;
      }
      case 0b11100:
        this.end(this.goTo((at + 4 + ((op << 21) >> 20)) >>> 0, 2), 2);
        return true;
      case 0b11110:
        return this.branchWithLink(op, at);
      default:
        return false;
    }
  }

  dataProcessing(which, d, m) {
    const rd = `r[${d}]`;
    const rm = `r[${m}]`;
    const logic = (expression) => `q=(${expression})|0;${rd}=q;`;
    const carry = (bit) => `C=((a>>>${bit})&1)!==0;`;
    const texts = [
      logic(`${rd}&${rm}`),
      logic(`${rd}^${rm}`),
      `b=${rm}&255;a=${rd};if(b===0)q=a|0;else if(b<32){${carry('(32-b)')}q=a<<b;}else{C=b===32&&(a&1)!==0;q=0;}${rd}=q;`,
      `b=${rm}&255;a=${rd};if(b===0)q=a|0;else if(b<32){${carry('(b-1)')}q=(a>>>b)|0;}else{C=b===32&&(a>>>31)!==0;q=0;}${rd}=q;`,
      `b=${rm}&255;a=${rd}|0;if(b===0)q=a;else if(b<32){${carry('(b-1)')}q=a>>b;}else{C=a<0;q=a>>31;}${rd}=q;`,
      `a=${rd}|0;b=${rm}|0;o=(a>>>0)+(b>>>0)+(C?1:0);q=o|0;C=o>4294967295;V=(~(a^b)&(a^q))<0;${rd}=q;`,
      `a=${rd}|0;b=${rm}|0;o=(a>>>0)-(b>>>0)-(C?0:1);q=o|0;C=o>=0;V=((a^b)&(a^q))<0;${rd}=q;`,
      `b=${rm}&255;a=${rd};if(b!==0){b&=31;q=(a>>>b)|(a<<((32-b)&31));C=q<0;${rd}=q;}else q=a|0;`,
      `q=(${rd}&${rm})|0;`,
      `${subtract('0', `${rm}|0`)}${rd}=q;`,
      subtract(`${rd}|0`, `${rm}|0`),
      add(`${rd}|0`, `${rm}|0`),
      logic(`${rd}|${rm}`),
      `q=Math.imul(${rd},${rm});${rd}=q;`,
      logic(`${rd}&~${rm}`),
      logic(`~${rm}`),
    ];
    this.emit(texts[which]);
    return true;
  }

  /** ADD, CMP and MOV with the upper registers, BX, BLX. */
  highRegisters(op, at) {
    const m = (op >> 3) & 15;
    const d = ((op >> 4) & 8) | (op & 7);
    const value = m === 15 ? hex(at + 4) : `r[${m}]`;
    switch ((op >> 8) & 3) {
      case 0:
        if (d === 15) return false;
        this.emit(`r[${d}]=${d === 13 ? `(r[13]+${value})&~3` : `r[${d}]+${value}`};`);
        return true;
      case 1:
        if (d === 15) return false;
        this.emit(subtract(`r[${d}]|0`, `${value}|0`));
        return true;
      case 2:
        if (d === 15) return false;
        this.emit(`r[${d}]=${d === 13 ? `${value}&~3` : value};`);
        return true;
      default:
        if (m === 15 || op & 7) return false;
        if (op & 0x80) this.end(`a=r[${m}];r[14]=${hex(this.pc | 1)};r[15]=a&~1;${FLAGS_OUT}return n+${this.cycles + 2};`, 2);
        else this.end(`${FLAGS_OUT}x.sync(${this.at});r[15]=${hex(this.pc)};c.BXWritePC(r[${m}]);return n+${this.cycles + 2};`, 2);
        return true;
    }
  }

  miscellaneous(op) {
    const d = op & 7;
    const m = (op >> 3) & 7;
    if (op >> 8 === 0xb0) {
      this.emit(`r[13]=r[13]${op & 0x80 ? '-' : '+'}${(op & 127) * 4};`);
      return true;
    }
    if (op >> 8 === 0xb2) {
      this.emit(`r[${d}]=${[`(r[${m}]<<16)>>16`, `(r[${m}]<<24)>>24`, `r[${m}]&65535`, `r[${m}]&255`][(op >> 6) & 3]};`);
      return true;
    }
    if (op >> 9 === 0b1011010) {
      const registers = listed(op & 255);
      if (op & 0x100) registers.push(14);
      if (!registers.length) return false;
      this.storeMany(registers, `r[13]-${4 * registers.length}|0`, 'r[13]=a;');
      return true;
    }
    if (op >> 9 === 0b1011110) {
      const registers = listed(op & 255);
      const count = registers.length;
      if (!(op & 0x100)) {
        if (!count) return false;
        this.emit(`${this.loadMany(registers, 'r[13]|0')}r[13]=a+${4 * count};`, 1 + count);
        return true;
      }
      const loads = this.loadMany([...registers, 'PC'], 'r[13]|0').replaceAll('r[PC]', 'b');
      const cycles = 3 + count;
      this.end(
        `${loads}r[13]=a+${4 * count + 4};${FLAGS_OUT}x.sync(${this.at});r[15]=${hex(this.pc)};c.BXWritePC(b>>>0);return n+${this.cycles + cycles};`,
        cycles,
      );
      return true;
    }
    const a = `a=r[${m}];`;
    switch (op >> 6) {
      case 0b1011101000:
        this.emit(`${a}r[${d}]=(a<<24)|((a&0xff00)<<8)|((a>>>8)&0xff00)|(a>>>24);`);
        return true;
      case 0b1011101001:
        this.emit(`${a}r[${d}]=((a&0xff00ff)<<8)|((a>>>8)&0xff00ff);`);
        return true;
      case 0b1011101011:
        this.emit(`${a}r[${d}]=(((a&255)<<8|(a>>>8)&255)<<16)>>16;`);
        return true;
      default:
        if (op !== 0xbf00) return false;
        this.emit(''); // NOP
        return true;
    }
  }

  branchWithLink(op, at) {
    const second = this.read16(at + 2);
    if ((second & 0xd000) !== 0xd000) return false;
    const sign = (op >> 10) & 1;
    const i1 = 1 - (sign ^ ((second >> 13) & 1));
    const i2 = 1 - (sign ^ ((second >> 11) & 1));
    const offset = ((sign ? 0xff : 0) << 24) | (i1 << 23) | (i2 << 22) | ((op & 0x3ff) << 12) | ((second & 0x7ff) << 1);
    this.pc += 2;
    this.end(`r[14]=${hex(this.pc | 1)};${this.goTo((at + 4 + offset) >>> 0, 3)}`, 3);
    return true;
  }
}

/**
 * Source text of a function `(x, budget)` that executes the code at `start` and returns its cycles, with `most`, how many
 * cycles one round can take, and `end`, the address behind the code; or `null` if the interpreter has to do it.
 */
export function blockSource(start, read16, literal) {
  const piece = new Piece(start, read16, literal);
  let count = 0;
  while (!piece.ended && count < MOST_INSTRUCTIONS && piece.step()) count++;
  if (!count) return null;
  if (!piece.ended) piece.lines.push(piece.leave(piece.pc, 0));
  const most = piece.cycles + SLOWEST_ACCESS * piece.accesses + 1;
  const body = piece.lines.join('\n').replaceAll('MOST', String(most));
  const source = `const r=x.r,c=x.core;let n=0,a=0,b=0,o=0;${FLAGS_IN}${piece.loops ? `for(;;){\n${body}\n}` : body}`;
  return { source, most, end: piece.pc };
}
