/**
 * SPI and I2C between the RP2040 and the chips on its board: through its serial blocks, each byte taking the time that
 * the clock dividers say, or bit by bit where a program moves the pins itself.
 *
 * A chip on SPI has `spiModes`, `spiMaxHz`, `select()`, `shiftOut()` → the byte it gives, `shiftIn(byte)` with the one it
 * got meanwhile, and `deselect()`. A chip on I2C has `i2cAddress`, `i2cMaxHz`, `i2cStart(reading)` → acknowledged,
 * `i2cWrite(byte)` → acknowledged, `i2cRead()` → byte, and `i2cStop()`.
 */

import { I2CMode } from 'rp2040js';

const FUNCTION_SPI = 1;
const FUNCTION_I2C = 3;
const SPI_ROLES = { miso: 0, sck: 2, mosi: 3 }; // pin number modulo 4 (RP2040 datasheet, table 2)

/** Which SPI block the three pins belong to. Throws an `Error` naming the pin that cannot be what it should. */
function spiBlock(wires) {
  for (const [role, remainder] of Object.entries(SPI_ROLES)) {
    if (wires[role] % 4 !== remainder) throw new Error(`GPIO ${wires[role]} cannot be ${role} of an SPI block`);
  }
  const blocks = Object.keys(SPI_ROLES).map((role) => (wires[role] >> 3) & 1);
  if (new Set(blocks).size !== 1) throw new Error('sck, mosi and miso belong to different SPI blocks');
  return blocks[0];
}

/** Chips that share clock and data wires. */
export class SpiBus {
  /** `wires`: GPIO numbers `sck`, `mosi`, `miso`. */
  constructor(clock, pins, wires, report) {
    this.clock = clock;
    this.pins = pins;
    this.wires = wires;
    this.report = report;
    this.block = spiBlock(wires);
    this.devices = [];
    this.finish = clock.createAlarm(() => this.finished());
    this.soft = new SoftSpi(this);
  }

  /** Connect a chip whose select pin is GPIO `cs`. */
  add(chip, cs) {
    const device = { chip, cs, selected: false };
    this.devices.push(device);
    this.pins.pull(cs, 1);
    this.pins.watch(cs, (level) => {
      if (device.selected === !level) return;
      device.selected = !level;
      device.restsHigh = this.pins.levels[this.wires.sck] === 1;
      this.soft.released();
      if (level) chip.deselect();
      else chip.select();
    });
  }

  /** Connect the RP2040's SPI block, after a reset. */
  attach(mcu) {
    this.mcu = mcu;
    this.spi = mcu.spi[this.block];
    this.finish.cancel();
    this.spi.onTransmit = (value) => {
      this.outgoing = value;
      const hz = this.spi.clockFrequency || 1e6;
      this.finish.schedule((this.spi.dataBits * 1e9) / hz);
    };
  }

  routed(role) {
    return this.mcu.gpio[this.wires[role]].functionSelect === FUNCTION_SPI;
  }

  finished() {
    const value = this.routed('mosi') ? this.outgoing : 0;
    let answer = 0xff;
    if (this.routed('sck')) {
      const control = this.spi.control0;
      const mode = ((control >> 6) & 1) * 2 + ((control >> 7) & 1); // SPO, SPH
      answer = this.exchange(value, mode, this.spi.clockFrequency, this.spi.dataBits);
    }
    this.spi.completeTransmit(this.routed('miso') ? answer : 0);
  }

  /** One byte to and from whichever chip is selected. */
  exchange(value, mode, hz, bits = 8) {
    let answer = 0xff;
    for (const { chip, selected } of this.devices) {
      if (!selected) continue;
      if (!chip.spiModes.includes(mode)) {
        this.report(`${chip.name}: SPI mode ${mode} instead of ${chip.spiModes.join(' or ')}`);
        chip.shiftOut();
        chip.shiftIn((value >> 1) & 0x7f); // sampled on the wrong edge
      } else if (bits !== 8) {
        this.report(`${chip.name}: SPI words of ${bits} bits`);
      } else {
        if (hz > chip.spiMaxHz) this.report(`${chip.name}: SPI clock of ${hz} Hz is above ${chip.spiMaxHz} Hz`);
        answer &= chip.shiftOut();
        chip.shiftIn(value);
      }
    }
    return answer;
  }
}

/** SPI by a program that moves the pins itself, in mode 0 or 3: the level of the clock at rest tells which. */
class SoftSpi {
  constructor(bus) {
    this.bus = bus;
    this.count = 0; // bits of the current byte
    this.incoming = 0;
    this.outgoing = 0xff;
    bus.pins.watch(bus.wires.sck, (level) => {
      if (!bus.mcu || bus.routed('sck')) return;
      const device = bus.devices.find(({ selected }) => selected);
      if (!device) return;
      // The chip's bit is there when the program looks: after the falling edge in mode 3, about the rising one in mode 0.
      if (level !== Number(device.restsHigh)) this.give(device);
      if (level) this.sample(device);
    });
  }

  give(device) {
    if (this.count === 0) this.outgoing = device.chip.shiftOut();
    this.bus.pins.drive(this.bus.wires.miso, (this.outgoing >> (7 - this.count)) & 1);
  }

  sample(device) {
    const { pins, wires } = this.bus;
    this.incoming = ((this.incoming << 1) | pins.levels[wires.mosi]) & 0xff;
    this.count = (this.count + 1) % 8;
    if (this.count === 0) device.chip.shiftIn(this.incoming);
  }

  released() {
    this.count = 0;
    this.bus.pins.drive(this.bus.wires.miso, null);
  }
}

/** Chips that share SDA and SCL. */
export class I2cBus {
  /** `wires`: GPIO numbers `sda` and `scl`. */
  constructor(clock, pins, wires, report) {
    if (wires.sda % 2 !== 0) throw new Error(`GPIO ${wires.sda} cannot be sda of an I2C block`);
    if (wires.scl % 2 !== 1) throw new Error(`GPIO ${wires.scl} cannot be scl of an I2C block`);
    if (((wires.sda >> 1) & 1) !== ((wires.scl >> 1) & 1)) throw new Error('sda and scl belong to different I2C blocks');
    this.block = (wires.sda >> 1) & 1;
    this.clock = clock;
    this.pins = pins;
    this.wires = wires;
    this.report = report;
    this.chips = [];
    this.target = null; // the chip that has answered to its address
    this.later = clock.createAlarm(() => this.step());
    pins.pull(wires.sda, 1);
    pins.pull(wires.scl, 1);
    this.held = false;
    this.soft = new SoftI2c(this);
  }

  add(chip) {
    this.chips.push(chip);
  }

  /** Connect the RP2040's I2C block, after a reset. */
  attach(mcu) {
    this.mcu = mcu;
    this.later.cancel();
    this.target = null;
    const i2c = mcu.i2c[this.block];
    const after = (bits, step) => {
      const cycles = i2c.sclLowPeriod + i2c.sclHighPeriod || 1;
      this.hz = mcu.clkSys / cycles;
      this.step = step;
      this.later.schedule((bits * 1e9) / this.hz);
    };
    i2c.onStart = () => after(1, () => i2c.completeStart());
    i2c.onConnect = (address, mode) =>
      after(9, () => i2c.completeConnect(this.routed() && this.start(address, mode === I2CMode.Read, this.hz)));
    i2c.onWriteByte = (value) => after(9, () => i2c.completeWrite(this.target?.i2cWrite(value) ?? false));
    i2c.onReadByte = () => after(9, () => i2c.completeRead(this.target?.i2cRead() ?? 0xff));
    i2c.onStop = () =>
      after(1, () => {
        this.stop();
        i2c.completeStop();
      });
  }

  routed() {
    return ['sda', 'scl'].every((wire) => this.mcu.gpio[this.wires[wire]].functionSelect === FUNCTION_I2C);
  }

  /** START and address. Returns whether a chip acknowledges. */
  start(address, reading, hz) {
    if (this.held) {
      this.target = null; // the block loses arbitration
      return false;
    }
    this.target = this.chips.find((chip) => chip.i2cAddress === address) ?? null;
    if (this.target && hz > this.target.i2cMaxHz * 1.05) {
      this.report(`${this.target.name}: I2C clock of ${Math.round(hz)} Hz is above ${this.target.i2cMaxHz} Hz`);
    }
    if (this.target && !this.target.i2cStart(reading)) this.target = null;
    return this.target !== null;
  }

  stop() {
    this.target?.i2cStop();
    this.target = null;
  }

  /** Something holds SDA low, whatever else is said on the bus; or lets it go. */
  hold(held) {
    this.held = held;
    this.soft.state = 'idle';
    this.pins.drive(this.wires.sda, held ? 0 : null);
  }

  /** A chip has been cut short in the middle of a byte: it holds SDA until it has seen nine clocks; then `done()`. */
  hang(done) {
    let clocks = 0;
    this.hold(true);
    this.pins.watch(this.wires.scl, (level) => {
      if (level || ++clocks !== 9) return;
      this.hold(false);
      done();
    });
  }
}

/** I2C by a program that moves the pins itself, as MicroPython's `i2c.scan()` does. */
class SoftI2c {
  constructor(bus) {
    this.bus = bus;
    this.state = 'idle'; // idle, address, write, read
    this.bits = 0; // of the byte; the ninth is the acknowledgement
    this.byte = 0;
    const { pins, wires } = bus;
    pins.watch(wires.sda, (level) => {
      if (this.changing || bus.held || !pins.levels[wires.scl] || (bus.mcu && bus.routed())) return;
      if (level) this.stopped();
      else this.started();
    });
    pins.watch(wires.scl, (level) => {
      if (bus.held || this.state === 'idle') return;
      if (level) this.rise(pins.levels[wires.sda]);
      else this.fall();
    });
  }

  started() {
    this.state = 'address';
    this.bits = 0;
    this.byte = 0;
  }

  stopped() {
    if (this.state !== 'idle') this.bus.stop();
    this.state = 'idle';
    this.drive(null);
  }

  rise(level) {
    this.bits++;
    if (this.bits <= 8) this.byte = ((this.byte << 1) | level) & 0xff;
    else this.acknowledged = !level;
  }

  /** After a falling clock edge whoever sends the next bit puts it on the data wire. */
  fall() {
    if (this.bits === 9) this.nextByte();
    if (this.bits === 8) {
      if (this.state === 'read') this.drive(null);
      else this.drive(this.accept() ? 0 : null);
    } else if (this.state === 'read') {
      this.drive((this.answer >> (7 - this.bits)) & 1 ? null : 0);
    } else this.drive(null);
  }

  /** The byte is complete. Returns whether the chip acknowledges it. */
  accept() {
    if (this.state === 'write') return this.bus.target.i2cWrite(this.byte);
    this.reading = Boolean(this.byte & 1);
    this.addressed = this.bus.start(this.byte >> 1, this.reading, 0);
    return this.addressed;
  }

  nextByte() {
    if (this.state === 'address') this.state = this.addressed ? (this.reading ? 'read' : 'write') : 'ignored';
    else if (this.state === 'read' && !this.acknowledged) this.state = 'ignored';
    if (this.state === 'read') this.answer = this.bus.target.i2cRead();
    this.bits = 0;
    this.byte = 0;
  }

  drive(level) {
    this.changing = true;
    this.bus.pins.drive(this.bus.wires.sda, level);
    this.changing = false;
  }
}
