/**
 * Several Picos and the air between them as one deterministic system: nobody runs further ahead of the others than a
 * radio can notice, and what they send is exchanged in between, in the order of emulated time.
 */

import { LOOKAHEAD_NS } from './ether.mjs';

export class System {
  /** `ether`: has `flush()`. With one Pico and nobody on the air, time passes in longer steps. */
  constructor(picos, ether) {
    this.picos = picos;
    this.ether = ether;
    this.nanos = 0;
    this.step = picos.length > 1 ? LOOKAHEAD_NS : 20 * LOOKAHEAD_NS;
  }

  /** When something will happen by itself; `Infinity` if all wait for the world outside. */
  get nextEventNanos() {
    return Math.min(...this.picos.map((pico) => pico.nextEventNanos));
  }

  /** One step, at most up to `until` (ns). Returns false, with time where it was, if all wait for the world outside. */
  advance(until = Infinity) {
    const event = this.nextEventNanos;
    if (event === Infinity && until === Infinity) return false;
    const target = Math.min(until, Math.max(this.nanos, event) + this.step);
    for (const pico of this.picos) pico.run(target);
    this.nanos = target;
    this.ether.flush();
    return true;
  }

  /** Run until emulated time `until` (ns). */
  run(until) {
    while (this.nanos < until) this.advance(until);
  }
}
