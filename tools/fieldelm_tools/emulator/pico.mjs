/**
 * One emulated Raspberry Pi Pico: RP2040 (its first core), flash, USB, the wires of its board, and a power switch.
 *
 * The processor is rp2040js with the differences in `mends.mjs`. Time is the clock's: it moves by the cycles that are
 * executed, and jumps to the next alarm while the processor sleeps (WFI, WFE), so that idle time costs nothing.
 */

import { RP2040 } from 'rp2040js';

import { ChipClock, Clock } from './clock.mjs';
import { PowerCut } from './flash.mjs';
import { mend } from './mends.mjs';
import { Pins } from './pins.mjs';
import { Translator } from './translate.mjs';
import { UsbHost } from './usb.mjs';

const FLASH_START = 0x10000000;
const ROM_TABLE = 0x14; // address of the pointer to the function table (RP2040 datasheet 2.8.3)
const BREAKPOINT = 0xbe2a;
const BREAKPOINT_CODE = 0x2a;
const ADC_BITS = 12;
const ADC_REFERENCE = 3.3;
const ADC_SAMPLE_NS = 2000;

export class Pico {
  /**
   * @param {object} parts
   * @param {Uint32Array} parts.bootRom the RP2040's boot ROM, 4096 words
   * @param {import('./flash.mjs').Flash} parts.flash
   * @param {Clock} [parts.clock] its own if not given
   * @param {string} [parts.name]
   * @param {Uint8Array} [parts.uniqueId] 8 bytes, `machine.unique_id()`
   * @param {(text: string) => void} [parts.report] what is wrong, as it happens
   */
  constructor({ bootRom, flash, clock = new Clock(), name = 'pico', uniqueId = new Uint8Array(8), report = () => {} }) {
    this.bootRom = bootRom;
    this.flash = flash;
    this.clock = clock;
    this.name = name;
    this.uniqueId = uniqueId;
    this.reports = [];
    this.report = (text) => {
      if (this.reports.length < 1000) this.reports.push(text);
      report(text);
    };
    this.pins = new Pins(this.report);
    this.buses = [];
    this.chips = [];
    this.usb = new UsbHost(clock);
    this.adc = [0, 0, 0, 0, 25]; // volts at GPIO 26..29, and °C of the chip: a number or a function of ns
    this.translates = true; // false: the interpreter alone, slower and the same
    this.powered = false;
    this.bootloader = false; // waiting for a UF2 file
    this.resets = 0;
    this.busyCycles = 0; // executed since the start; asleep, none
    this.mcu = null;
    this.pending = null; // what to do before the next instruction
    this.onPowerCut = () => this.powerOn();
    this.onBootloader = () => {};
  }

  /** Put a chip on the board; `bus` is a bus it may be on. */
  add(chip, bus = null) {
    this.chips.push(chip);
    if (bus && !this.buses.includes(bus)) this.buses.push(bus);
  }

  powerOn() {
    if (this.powered) return;
    this.powered = true;
    for (const chip of this.chips) chip.powerOn();
    this.start({ scratch: null, reason: 0 });
  }

  powerOff() {
    if (!this.powered) return;
    this.powered = false;
    this.stop();
    this.pins.detach();
    for (const chip of this.chips) chip.powerOff();
  }

  /** As the reset button or the watchdog does it: the chips around keep their power. */
  reset({ scratch = null, reason = 0 } = {}) {
    this.resets++;
    this.stop();
    this.start({ scratch, reason });
  }

  stop() {
    this.usb.detach();
    this.chipClock?.cancelAll();
    this.clock.setFrequency(125_000_000);
    this.mcu = null;
    this.pending = null;
    this.bootloader = false;
  }

  start({ scratch, reason }) {
    this.chipClock = new ChipClock(this.clock);
    const mcu = new RP2040(this.chipClock);
    this.mcu = mcu;
    mcu.logger = this.logger();
    mcu.bootrom.set(this.bootRom);
    mcu.core.reset();
    mcu.flash = this.flash.data;
    mcu.flash16 = new Uint16Array(this.flash.data.buffer);
    mcu.flashView = new DataView(this.flash.data.buffer);
    const fault = (address) => this.lockUp(`hard fault: unaligned access to 0x${address.toString(16)} at 0x${this.pcText()}`);
    mend(mcu, this.chipClock, { uniqueId: this.uniqueId, fault });
    const watchdog = mcu.peripherals[0x40058];
    if (scratch) watchdog.scratchData.set(scratch);
    watchdog.reason = reason;
    watchdog.onWatchdogTrigger = () => {
      watchdog.timer.enable = false; // once is enough
      const kept = { scratch: Uint32Array.from(watchdog.scratchData), reason: watchdog.reason };
      this.pending = () => this.reset(kept);
      this.clock.wakeCycles = 0;
    };
    mcu.addClockListener((hz) => this.clock.setFrequency(hz));
    this.trapRom();
    this.translator = new Translator(mcu, this.clock, this.translates);
    this.connectAdc();
    this.pins.attach(mcu.gpio);
    for (const bus of this.buses) bus.attach(mcu);
    this.usb.attach(mcu.usbCtrl);
    mcu.core.PC = FLASH_START; // the second boot stage; the boot ROM would only copy it and jump there
  }

  logger() {
    const ignore = () => {};
    return {
      debug: ignore,
      info: ignore,
      warn: (component, text) => process.env.FIELDELM_EMULATOR_DEBUG && this.report(`${component}: ${text}`),
      error: (component, text) => this.report(`${component}: ${text}`),
    };
  }

  /** Let the boot ROM's flash routines change the emulated flash; their own way goes through a QSPI nobody models. */
  trapRom() {
    const { mcu } = this;
    const rom = new DataView(mcu.bootrom.buffer);
    const address = (code) => {
      const wanted = code.charCodeAt(0) | (code.charCodeAt(1) << 8);
      for (let entry = rom.getUint16(ROM_TABLE, true); rom.getUint16(entry, true); entry += 4) {
        if (rom.getUint16(entry, true) === wanted) return rom.getUint16(entry + 2, true) & ~1;
      }
      throw new Error(`the boot ROM image has no function ${code}`);
    };
    const traps = new Map([
      [address('RE'), () => this.eraseFlash(...mcu.core.registers.subarray(0, 2))],
      [address('RP'), () => this.programFlash(...mcu.core.registers.subarray(0, 3))],
      [address('UB'), () => this.enterBootloader()],
    ]);
    for (const trap of traps.keys()) rom.setUint16(trap, BREAKPOINT, true);
    mcu.onBreak = (code) => {
      const trap = traps.get(mcu.core.PC) ?? traps.get(mcu.core.PC - 2);
      if (code === BREAKPOINT_CODE && trap) {
        mcu.core.PC = mcu.core.LR & ~1;
        trap();
      } else this.lockUp(`breakpoint ${code} at 0x${(mcu.core.PC - 2).toString(16)} (a hard fault ends here)`);
    };
  }

  eraseFlash(offset, count) {
    this.translator.flashChanged(offset, count);
    this.changeFlash(this.flash.erase(offset, count));
  }

  programFlash(offset, source, count) {
    this.translator.flashChanged(offset, count);
    const bytes = Uint8Array.from({ length: count }, (_, i) => this.mcu.readUint8(source + i));
    this.changeFlash(this.flash.program(offset, bytes));
  }

  changeFlash(steps) {
    try {
      for (const nanos of steps) this.pass(nanos);
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
      this.report(error.message);
      this.pending = () => {
        this.powerOff();
        this.onPowerCut(this);
      };
      this.clock.wakeCycles = 0;
    }
  }

  /** Time goes by, and the processor can do nothing about it. */
  pass(nanos) {
    const { clock } = this;
    const until = clock.nanos + nanos;
    while (clock.nanos < until) {
      clock.jump(Math.min(until, clock.nextNanos));
      clock.settle();
    }
  }

  /** The chip would now be a USB disk that waits for a UF2 file. */
  enterBootloader() {
    this.lockUp(null);
    this.bootloader = true;
    this.usb.detach();
    this.onBootloader(this);
  }

  /** Write a UF2 file as the USB disk of the boot ROM does, and start it. */
  flashUf2(file) {
    this.flash.load(file);
    this.reset();
  }

  pcText() {
    return this.mcu.core.PC.toString(16);
  }

  /** The processor executes nothing more until something resets it. */
  lockUp(why) {
    if (why) this.report(`${this.name} stopped: ${why}`);
    this.mcu.core.enabledInterrupts = 0;
    this.mcu.core.checkForInterrupts = () => false;
    this.mcu.core.waiting = true;
  }

  connectAdc() {
    const { adc } = this.mcu;
    adc.onADCRead = (channel) => {
      adc.currentChannel = channel;
      const source = this.adc[channel] ?? 0;
      const value = typeof source === 'function' ? source(this.clock.nanos) : source;
      // RP2040 datasheet 4.9.5: 0.706 V at 27 °C, falling by 1.721 mV a degree
      const volts = channel === 4 ? 0.706 - (value - 27) * 0.001721 : value;
      const counts = Math.floor((volts / ADC_REFERENCE) * (1 << ADC_BITS));
      adc.channelValues[channel] = Math.max(0, Math.min((1 << ADC_BITS) - 1, counts));
      adc.sampleAlarm.schedule(ADC_SAMPLE_NS);
    };
  }

  /** Emulated nanoseconds since the start. */
  get nanos() {
    return this.clock.nanos;
  }

  /** Whether only time or something from outside can make the processor go on. */
  get asleep() {
    return !this.pending && (!this.mcu || this.mcu.core.waiting);
  }

  /** When something will happen by itself: now while it executes, `Infinity` when it waits for the world outside. */
  get nextEventNanos() {
    return this.asleep ? this.clock.nextEventNanos : this.clock.nanos;
  }

  /** Run until emulated time `until` (ns); some cycles more, as an instruction cannot be cut. */
  run(until) {
    const { clock } = this;
    clock.horizon = until;
    clock.plan();
    while (clock.nanos < until || this.pending) {
      if (this.pending) {
        const pending = this.pending;
        this.pending = null;
        pending();
        clock.plan();
      } else if (this.asleep) {
        clock.jump(Math.min(until, clock.nextNanos));
      } else {
        this.execute();
      }
      clock.settle();
    }
    clock.horizon = Infinity;
  }

  /** Execute instructions until an alarm is due, the horizon is reached or the processor sleeps. */
  execute() {
    this.busyCycles += this.translator.run();
  }
}
