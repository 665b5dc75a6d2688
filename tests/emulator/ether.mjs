/**
 * The air as chip models without a Pico have it: what one sends the others hear at once. (Picos use the air server.)
 */

const { noiseFloor } = await import(new URL('../../tools/fieldelm_tools/emulator/chips/lora.mjs', import.meta.url));

const CAPTURE_DB = 6;
const SNR_CEILING_DB = 10;

/** Radios and the loss between them. Frames of one spreading factor and channel are all that disturbs. */
export class Ether {
  /** `loss(sender, receiver)`: dB between two stations; a number for all of them. */
  constructor({ loss = 80 } = {}) {
    this.loss = typeof loss === 'function' ? loss : () => loss;
    this.stations = [];
    this.traffic = []; // every frame there was, with its sender's name
  }

  /** A radio called `name`. Set `chip` and `clock` of what is returned before anybody transmits. */
  join(name) {
    const station = { name, chip: null, clock: null, receptions: [] };
    this.stations.push(station);
    station.transmit = (frame) => {
      this.traffic.push({ sender: name, frame });
      for (const other of this.stations) if (other !== station) this.reach(name, other, frame);
    };
    station.abort = (frame) => {
      frame.aborted = true;
    };
    return station;
  }

  reach(sender, station, frame) {
    const rssi = frame.power - this.loss(sender, station.name);
    const snr = Math.min(SNR_CEILING_DB, rssi - noiseFloor(frame.bw));
    const reception = {
      frame, rssi, snr,
      disturbed: false,
      get damaged() {
        return this.disturbed || Boolean(frame.aborted);
      },
    }; // prettier-ignore
    station.receptions = station.receptions.filter((other) => other.frame.end_ns > frame.start_ns);
    for (const other of station.receptions) {
      if (other.frame.sf !== frame.sf || other.frame.freq !== frame.freq) continue;
      if (rssi - other.rssi < CAPTURE_DB) reception.disturbed = true;
      if (other.rssi - rssi < CAPTURE_DB) other.disturbed = true;
    }
    station.receptions.push(reception);
    station.chip.receiver.begins(reception);
  }
}
