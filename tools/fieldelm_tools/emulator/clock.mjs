/**
 * Emulated time: whole nanoseconds since the start, moved by the cycles that a processor executes, and alarms that are
 * due at a given nanosecond. Nothing here looks at the time of day.
 */

const NS = 1e9;

/** One callback that becomes due. `background` alarms have no effect that anybody waits for. */
class Alarm {
  constructor(clock, callback) {
    this.clock = clock;
    this.callback = callback;
    this.nanos = 0;
    this.next = null;
    this.scheduled = false;
    this.background = false;
  }

  /** Become due in `delta` nanoseconds (at once if it is not positive), instead of whenever it was due before. */
  schedule(delta) {
    this.at(this.clock.nanos + Math.max(0, Math.round(delta)));
  }

  /** Become due at `nanos`. */
  at(nanos) {
    this.cancel();
    this.nanos = Math.max(nanos, this.clock.nanos);
    this.clock.insert(this);
  }

  cancel() {
    if (this.scheduled) this.clock.remove(this);
  }
}

/** A clock without a processor: what chip models need, and what moves a radio or sensor in a test. */
export class Clock {
  constructor() {
    this.base = 0; // ns at which `cycles` was zero
    this.cycles = 0; // since `base`, always less than `hz`
    this.hz = 125_000_000;
    this.nanosPerCycle = 8;
    this.first = null; // alarms, by time; first come first served at the same time
    this.wakeCycles = Infinity; // `cycles` at which somebody has to look at the alarms
    this.horizon = Infinity; // ns that must not be passed
  }

  get nanos() {
    return this.base + Math.floor(this.cycles * this.nanosPerCycle);
  }

  get micros() {
    return this.nanos / 1000;
  }

  /** When the first alarm is due, or `Infinity`. */
  get nextNanos() {
    return this.first ? this.first.nanos : Infinity;
  }

  /** When the first alarm is due that does anything, or `Infinity`. */
  get nextEventNanos() {
    let alarm = this.first;
    while (alarm && alarm.background) alarm = alarm.next;
    return alarm ? alarm.nanos : Infinity;
  }

  createAlarm(callback) {
    return new Alarm(this, callback);
  }

  /** Call `callback` at `nanos`; the returned alarm can be cancelled. */
  at(nanos, callback) {
    const alarm = new Alarm(this, callback);
    alarm.at(nanos);
    return alarm;
  }

  insert(alarm) {
    let before = null;
    let after = this.first;
    while (after && after.nanos <= alarm.nanos) {
      before = after;
      after = after.next;
    }
    alarm.next = after;
    if (before) before.next = alarm;
    else this.first = alarm;
    alarm.scheduled = true;
    if (!before) this.plan();
  }

  remove(alarm) {
    let before = null;
    let item = this.first;
    while (item && item !== alarm) {
      before = item;
      item = item.next;
    }
    if (!item) return;
    if (before) before.next = alarm.next;
    else this.first = alarm.next;
    alarm.next = null;
    alarm.scheduled = false;
    if (!before) this.plan();
  }

  /** Change the frequency of the cycles from now on. */
  setFrequency(hz) {
    this.base = this.nanos;
    this.cycles = 0;
    this.hz = hz;
    this.nanosPerCycle = NS / hz;
    this.plan();
  }

  /** How far cycles may be counted before `settle` has to be called: to the first alarm or the horizon. */
  plan() {
    const nanos = Math.min(this.nextNanos, this.horizon, this.base + NS);
    this.wakeCycles = Math.max(0, Math.ceil((nanos - this.base) / this.nanosPerCycle));
  }

  /** Run what is due. Whole seconds leave `cycles`, so that no rounding adds up. */
  settle() {
    while (this.first && this.first.nanos <= this.nanos) {
      const alarm = this.first;
      this.remove(alarm);
      alarm.callback();
    }
    if (this.cycles >= this.hz) {
      this.cycles -= this.hz;
      this.base += NS;
    }
    this.plan();
  }

  /** Let time pass up to `nanos`, running every alarm at its own time. */
  advance(nanos) {
    for (;;) {
      const stop = Math.min(nanos, this.nextNanos);
      this.jump(stop);
      const due = this.first && this.first.nanos <= this.nanos;
      this.settle();
      if (!due && stop >= nanos) return;
    }
  }

  /** Set time to the first cycle that is not before `nanos`. */
  jump(nanos) {
    if (nanos <= this.nanos) return;
    const seconds = Math.floor((nanos - this.base) / NS);
    this.base += seconds * NS;
    this.cycles = seconds ? 0 : this.cycles;
    this.cycles = Math.max(this.cycles, Math.ceil((nanos - this.base) / this.nanosPerCycle));
    if (this.cycles >= this.hz) {
      this.cycles -= this.hz;
      this.base += NS;
    }
  }
}

/**
 * The clock as the chip under reset sees it: it starts at zero at power-on, and forgets its alarms at a reset. This is
 * the interface that rp2040js asks of a clock.
 */
export class ChipClock {
  constructor(clock) {
    this.clock = clock;
    this.origin = clock.nanos;
    this.alarms = [];
  }

  get nanos() {
    return this.clock.nanos - this.origin;
  }

  get micros() {
    return this.nanos / 1000;
  }

  createAlarm(callback) {
    const alarm = this.clock.createAlarm(callback);
    this.alarms.push(alarm);
    return alarm;
  }

  cancelAll() {
    for (const alarm of this.alarms) alarm.cancel();
  }
}
