/**
 * What is soldered to the Pico's pins: each GPIO is a wire that the RP2040, one chip outside and pull resistors share.
 */

export const PIN_COUNT = 30;

/** The 30 wires. Levels are 0 and 1. */
export class Pins {
  /** `report(text)`: something on the board is wrong. */
  constructor(report = () => {}) {
    this.report = report;
    this.driven = new Array(PIN_COUNT).fill(null); // by a chip outside; null: not driven
    this.pulls = new Array(PIN_COUNT).fill(null); // by a resistor on the board
    this.levels = new Array(PIN_COUNT).fill(0);
    this.watchers = Array.from({ length: PIN_COUNT }, () => []);
    this.gpio = null;
  }

  /** The RP2040 has been powered or reset: all its pins are inputs again. */
  attach(gpio) {
    this.gpio = gpio;
    gpio.forEach((pin, index) => {
      pin.addListener(() => this.resolve(index));
      pin.rawInputValue = Boolean(this.levels[index]);
      this.resolve(index);
    });
  }

  detach() {
    this.gpio = null;
    for (let index = 0; index < PIN_COUNT; index++) this.resolve(index);
  }

  /** A chip outside drives a wire (0, 1) or lets it go (null). */
  drive(index, level) {
    if (this.driven[index] === level) return;
    this.driven[index] = level;
    this.resolve(index);
  }

  /** A resistor on the board pulls a wire up (1) or down (0). */
  pull(index, level) {
    this.pulls[index] = level;
    this.resolve(index);
  }

  /** Call `callback(level)` whenever the level of a wire changes. */
  watch(index, callback) {
    this.watchers[index].push(callback);
  }

  resolve(index) {
    const pin = this.gpio?.[index];
    const outside = this.driven[index];
    let level;
    if (pin?.outputEnable) {
      level = pin.outputValue ? 1 : 0;
      if (outside !== null && outside !== level) this.report(`GPIO ${index} is driven from both sides`);
    } else if (outside !== null) level = outside;
    else if (this.pulls[index] !== null) level = this.pulls[index];
    else if (pin?.pullupEnabled && !pin.pulldownEnabled) level = 1;
    else if (pin?.pulldownEnabled && !pin.pullupEnabled) level = 0;
    else level = this.levels[index];
    const changed = level !== this.levels[index];
    this.levels[index] = level;
    if (pin && pin.rawInputValue !== Boolean(level)) pin.setInputValue(Boolean(level));
    if (changed) for (const callback of this.watchers[index]) callback(level);
  }
}
