/**
 * A Pico with its board, made from a description (docs/reference/emulator.md): which chip is on which pins, what the
 * battery gives, what the accelerometer feels.
 */

import { I2cBus, SpiBus } from './bus.mjs';
import { Adxl345 } from './chips/adxl345.mjs';
import { Lis3dh } from './chips/lis3dh.mjs';
import { Sx1262 } from './chips/sx1262.mjs';
import { Sx1276 } from './chips/sx1276.mjs';
import { Flash } from './flash.mjs';
import { Pico } from './pico.mjs';
import { makeSignal } from './signal.mjs';

const RADIOS = { sx1276: Sx1276, sx1262: Sx1262 };
const ACCELEROMETERS = { adxl345: Adxl345, lis3dh: Lis3dh };
const INPUTS = ['reset', 'rxen']; // of chips; all other pins are their outputs
const FIRST_ADC_PIN = 26;
const TEMPERATURE_CHANNEL = 4;

/** What may happen to a chip. */
export const FAULTS = ['none', 'silent', 'wrong_id', 'stuck', 'hung'];

const IDENTITY = { sx1276: 0x42, adxl345: 0x00, lis3dh: 0x0f };

/** Builds the Pico of `description`. Throws an `Error` that names what is wrong. `join`: how a radio gets on the air. */
export function makePico(description, { bootRom, join, report }) {
  const { name } = description;
  const flash = new Flash({ file: description.flash ?? null });
  if (description.firmware) flash.load(description.firmware);
  const uniqueId = description.unique_id ? Buffer.from(description.unique_id, 'hex') : idOf(name);
  if (uniqueId.length !== 8) throw new Error(`${name}: unique_id must be 16 hex digits`);
  const pico = new Pico({ bootRom, flash, name, uniqueId, report: (text) => report(`${name}: ${text}`) });
  pico.usb.plugged = description.usb ?? true;
  pico.translates = description.translate ?? true;
  pico.buttons = description.pins ?? {};
  for (const [pin, level] of Object.entries(pico.buttons)) pico.pins.drive(Number(pin), level);
  setBattery(pico, description.battery);
  pico.adc[TEMPERATURE_CHANNEL] = description.temperature ?? 25;
  const buses = new Map();
  pico.parts = {};
  for (const part of description.chips ?? []) addChip(pico, part, buses, join);
  return pico;
}

/** `{"pin": 29, "volts": 3.9, "ratio": 3}`: what the divider leaves of the battery's voltage is on an ADC pin. */
export function setBattery(pico, battery) {
  if (!battery) return;
  const channel = battery.pin - FIRST_ADC_PIN;
  if (!(channel >= 0 && channel < TEMPERATURE_CHANNEL)) throw new Error(`${pico.name}: battery: GPIO ${battery.pin} has no ADC`);
  pico.adc[channel] = battery.volts / (battery.ratio ?? 1);
}

/** An id of its own for every name. */
function idOf(name) {
  const id = Buffer.from('e660000000000000', 'hex');
  let hash = 2166136261;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 16777619) >>> 0;
  id.writeUInt32BE(hash, 4);
  return id;
}

function addChip(pico, part, buses, join) {
  const { type, options = {} } = part;
  const name = part.name ?? type;
  const report = (text) => pico.report(text);
  let chip;
  if (type in RADIOS) {
    const station = join(`${pico.name}.${name}`, { gain: part.gain_db ?? 0, position: part.position });
    chip = new RADIOS[type](pico.clock, { radio: station, report, name, ...options });
    station.chip = chip;
    station.clock = pico.clock;
  } else if (type in ACCELEROMETERS) {
    chip = new ACCELEROMETERS[type](pico.clock, { signal: makeSignal(part.signal), report, name, ...options });
  } else {
    const known = [...Object.keys(RADIOS), ...Object.keys(ACCELEROMETERS)].join(', ');
    throw new Error(`${pico.name}: chip type ${type} is not one of ${known}`);
  }
  if (pico.parts[name]) throw new Error(`${pico.name}: two chips are called ${name}`);
  const bus = connect(pico, chip, part, buses, report);
  pico.parts[name] = { chip, type, part, bus, fault: 'none' };
  pico.add(chip, bus);
  for (const [pin, gpio] of Object.entries(part.pins ?? {})) wire(pico, chip, pin, gpio);
  setFault(pico, name, part.fault ?? 'none');
}

/** The bus of a chip; chips that name the same pins share it. */
function connect(pico, chip, part, buses, report) {
  const { spi, i2c } = part;
  if (!spi === !i2c) throw new Error(`${pico.name}: ${chip.name} needs either spi or i2c pins`);
  const { cs, ...wires } = spi ?? i2c;
  const key = JSON.stringify(Object.entries(wires).sort());
  if (!buses.has(key)) buses.set(key, new (spi ? SpiBus : I2cBus)(pico.clock, pico.pins, wires, report));
  buses.get(key).add(chip, cs);
  return buses.get(key);
}

function wire(pico, chip, pin, gpio) {
  if (INPUTS.includes(pin)) {
    pico.pins.pull(gpio, pin === 'reset' ? 1 : 0);
    pico.pins.watch(gpio, (level) => chip.setInput(pin, level));
    return;
  }
  chip.wired ??= new Map();
  chip.wired.set(pin, gpio);
  chip.onPin = (name, level) => {
    if (chip.wired.has(name)) pico.pins.drive(chip.wired.get(name), level);
  };
}

/**
 * Break a chip, or mend it ('none'): 'silent' has no power, 'wrong_id' says to be another one, 'stuck' holds a bus wire
 * (SDA, or MISO) low. A chip that is mended has just been powered. 'hung', on I2C: it waits for the rest of a byte that was
 * cut short, and is well again when it has been clocked out.
 */
export function setFault(pico, name, fault) {
  const item = pico.parts[name];
  if (!item) throw new Error(`${pico.name} has no chip ${name}`);
  if (!FAULTS.includes(fault)) throw new Error(`fault ${fault} is not one of ${FAULTS.join(', ')}`);
  const { chip, type, part } = item;
  if (fault === 'hung' && !part.i2c) throw new Error(`${name} is not on I2C: it cannot be hung`);
  if (item.fault === fault) return;
  item.fault = fault;
  const on = item.powerOn ?? chip.powerOn.bind(chip);
  item.powerOn = on;
  chip.powerOn = () => {
    if (item.fault === 'silent' || item.fault === 'stuck') return;
    on();
    if (item.fault === 'wrong_id' && type in IDENTITY) chip.registers[IDENTITY[type]] = 0x5a;
  };
  if (pico.powered) {
    chip.powerOff();
    chip.powerOn();
  }
  if (fault === 'hung') item.bus.hang(() => (item.fault = 'none'));
  else if (part.i2c) item.bus.hold(fault === 'stuck');
  else pico.pins.drive(part.spi.miso, fault === 'stuck' ? 0 : null);
}
