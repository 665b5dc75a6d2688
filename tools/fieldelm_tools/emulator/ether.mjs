/**
 * The air between radios of one process: who hears whom how well, and which frames disturb each other.
 *
 * Frames and receptions are described in `chips/lora.mjs`. A frame that begins is told to the others when `flush` is
 * called; a receiver needs five symbols to find it, so that nothing is lost as long as that happens within `LOOKAHEAD_NS`.
 */

import { noiseFloor } from './chips/lora.mjs';

/** How far one Pico may run ahead of another: less than five symbols of the shortest (spreading factor 5, 500 kHz). */
export const LOOKAHEAD_NS = 250_000;

const CAPTURE_DB = 6; // co-channel rejection: Goursaud and Gorce 2015, table 1
const ORTHOGONAL_DB = -16; // another spreading factor: Croce et al. 2018, table II
const SNR_CEILING_DB = 10; // the chips' estimate saturates
const AUDIBLE_DB = -30; // below the noise: not even a disturbance

/** Radios and the loss between them. */
export class Ether {
  /** `loss(sender, receiver)`: dB between two stations; a number for all of them. */
  constructor({ loss = 80 } = {}) {
    this.loss = typeof loss === 'function' ? loss : () => loss;
    this.stations = [];
    this.begun = []; // frames not yet told
    this.traffic = []; // every frame there was, with its sender's name
    this.onFrame = () => {};
  }

  /** A radio called `name`; `gain`: of its antenna, dB. Set `chip` of what is returned before anybody transmits. */
  join(name, { gain = 0 } = {}) {
    const station = { name, gain, chip: null, clock: null, receptions: [] };
    this.stations.push(station);
    station.transmit = (frame) => this.begun.push({ sender: station, frame });
    station.abort = (frame) => {
      frame.end_ns = Math.min(frame.end_ns, station.clock.nanos);
      frame.aborted = true;
    };
    return station;
  }

  /** Tell the receivers of the frames that have begun, in the order in which they did. */
  flush() {
    if (!this.begun.length) return;
    const begun = this.begun.sort((a, b) => a.frame.start_ns - b.frame.start_ns || (a.sender.name < b.sender.name ? -1 : 1));
    this.begun = [];
    for (const { sender, frame } of begun) {
      this.traffic.push({ sender: sender.name, frame });
      this.onFrame(sender.name, frame);
      for (const station of this.stations) if (station !== sender) this.reach(sender, station, frame);
    }
  }

  reach(sender, station, frame) {
    const rssi = frame.power + sender.gain + station.gain - this.loss(sender.name, station.name);
    const snr = Math.min(SNR_CEILING_DB, rssi - noiseFloor(frame.bw));
    if (rssi - noiseFloor(frame.bw) < AUDIBLE_DB) return;
    const reception = {
      frame, rssi, snr,
      disturbed: false,
      get damaged() {
        return this.disturbed || Boolean(frame.aborted);
      },
    }; // prettier-ignore
    station.receptions = station.receptions.filter((other) => other.frame.end_ns > frame.start_ns);
    for (const other of station.receptions) {
      if (rssi - other.rssi < rejection(frame, other.frame)) reception.disturbed = true;
      if (other.rssi - rssi < rejection(other.frame, frame)) other.disturbed = true;
    }
    station.receptions.push(reception);
    const { clock } = station;
    if (clock.nanos >= frame.start_ns) station.chip.receiver.begins(reception);
    else clock.at(frame.start_ns, () => station.chip.receiver.begins(reception));
  }
}

/** How much stronger than the other a frame must be to survive it (negative: it may be weaker). */
function rejection(wanted, other) {
  if (Math.abs(wanted.freq - other.freq) >= (wanted.bw + other.bw) / 2) return -Infinity;
  return wanted.sf === other.sf && wanted.bw === other.bw && wanted.iq === other.iq ? CAPTURE_DB : ORTHOGONAL_DB;
}
