/**
 * Several Picos and the air between them as one deterministic system: nobody runs further ahead of the others than a
 * radio can notice, and what they send is exchanged in between, in the order of emulated time.
 */

import { LOOKAHEAD_NS } from './air.mjs';

const LONG_STEPS = 20; // of one Pico with nobody to hear
const LONGEST_WAIT_NS = 1e9;

export class System {
  /** `air`: an `Air`. */
  constructor(picos, air) {
    this.picos = picos;
    this.air = air;
    this.nanos = 0;
    this.step = picos.length > 1 || !air.alone ? LOOKAHEAD_NS : LONG_STEPS * LOOKAHEAD_NS;
  }

  /** When something will happen by itself; `Infinity` if all wait for the world outside. */
  get nextEventNanos() {
    return Math.min(...this.picos.map((pico) => pico.nextEventNanos));
  }

  /**
   * One step, at most up to `until` (ns). Returns false, with time where it was, if all wait for the world outside and
   * nobody else is on the air.
   */
  async advance(until = Infinity) {
    const { air } = this;
    const event = this.nextEventNanos;
    if (air.alone) {
      if (event === Infinity && until === Infinity) return false;
      this.run(Math.min(until, Math.max(this.nanos, event) + this.step));
    } else {
      if (event > this.nanos) {
        // all asleep: the air may go on to the next thing that happens here, or to a frame, whichever is first
        const target = Math.min(until, event, this.nanos + LONGEST_WAIT_NS);
        const there = await air.wait(target);
        this.run(there ? target : Math.max(this.nanos, air.nanos));
        if (!there) return true;
      }
      this.run(Math.min(until, Math.max(this.nanos, air.nanos) + this.step));
    }
    await air.flush();
    if (!air.alone) await air.reach(this.nanos);
    return true;
  }

  run(target) {
    for (const pico of this.picos) pico.run(target);
    this.nanos = target;
  }
}
