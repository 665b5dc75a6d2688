/**
 * What SX1276 and SX1262 have in common: the LoRa signal in time, and a receiver that finds frames on the ether.
 *
 * A frame is `{freq, sf, bw, cr, iq, power, preamble, syncWord, explicit, crc, ldro, bytes, start_ns, end_ns}`: Hz, 5..12,
 * Hz, 5..8, whether I and Q are inverted, dBm, symbols, byte, header, CRC and low data rate optimisation, payload.
 * A reception is `{frame, rssi, snr, damaged}`: dBm, dB, and whether something disturbs it (may become true until its end).
 */

/** Symbols of a preamble that a receiver hears before it has found it. */
const DETECT_SYMBOLS = 5;

/** Lowest signal to noise ratio in dB that demodulates (SX1276 datasheet, table 13; SX1262 6.1.1.1). */
const SNR_LIMIT = { 5: -2.5, 6: -5, 7: -7.5, 8: -10, 9: -12.5, 10: -15, 11: -17.5, 12: -20 };

const NOISE_FIGURE = 6;

/** Duration of a symbol in ns. */
export function symbolNanos(sf, bw) {
  return (2 ** sf * 1e9) / bw;
}

/** Noise in dBm that a receiver of that bandwidth hears. */
export function noiseFloor(bw) {
  return -174 + 10 * Math.log10(bw) + NOISE_FIGURE;
}

/**
 * When the parts of a frame end, in ns after its start: `{preamble, sync, header, end}`.
 * SX1276 datasheet 4.1.1.7; SX1262 datasheet 6.1.4, which adds spreading factor 5 and another 6 (`chip` 'sx1262').
 */
export function frameTimes({ sf, bw, cr, preamble, explicit, crc, ldro, bytes }, chip = 'sx1276') {
  const symbol = symbolNanos(sf, bw);
  const short = chip === 'sx1262' && sf < 7;
  const bits = 8 * bytes.length - 4 * sf + (short ? 0 : 8) + (crc ? 16 : 0) + (explicit ? 20 : 0);
  const perBlock = 4 * (sf - (ldro ? 2 : 0));
  const payload = 8 + Math.max(Math.ceil(bits / perBlock), 0) * cr;
  const sync = preamble + (short ? 6.25 : 4.25);
  return {
    preamble: preamble * symbol,
    sync: sync * symbol,
    header: (sync + 8) * symbol,
    end: Math.round((sync + payload) * symbol),
  };
}

/** Whether a receiver with these settings can demodulate that frame. */
function matches(settings, { frame, snr }) {
  return (
    Math.abs(frame.freq - settings.freq) <= settings.bw / 4 &&
    frame.sf === settings.sf &&
    frame.bw === settings.bw &&
    frame.iq === settings.iq &&
    snr >= SNR_LIMIT[frame.sf]
  );
}

/** Finds frames and follows them to their end. */
export class Receiver {
  /**
   * `events`: `preamble(reception)`, `header(reception, good)`, `done(reception, good)`, called at their times while it
   * listens. The header of an implicit frame is not announced.
   */
  constructor(clock, chip, events) {
    this.clock = clock;
    this.chip = chip;
    this.events = events;
    this.onAir = []; // receptions that have not ended
    this.settings = null;
    this.locked = null;
    this.alarms = new Set();
  }

  get listening() {
    return this.settings !== null;
  }

  /** Listen from now on, to `{freq, sf, bw, iq, syncWord, explicit, crc, ldro, length}`; `longest`: bytes that a header may announce. */
  listen(settings) {
    this.stop();
    this.settings = settings;
    this.since = this.clock.nanos;
    for (const reception of this.onAir) this.seek(reception);
  }

  stop() {
    for (const alarm of this.alarms) alarm.cancel();
    this.alarms.clear();
    this.settings = null;
    this.locked = null;
  }

  /** A frame has begun (at `reception.frame.start_ns`, now or a moment ago). */
  begins(reception) {
    this.prune();
    this.onAir.push(reception);
    if (this.settings) this.seek(reception);
  }

  prune() {
    const now = this.clock.nanos;
    this.onAir = this.onAir.filter(({ frame }) => frame.end_ns > now);
  }

  after(nanos, callback) {
    const alarm = this.clock.at(nanos, () => {
      this.alarms.delete(alarm);
      callback();
    });
    this.alarms.add(alarm);
  }

  seek(reception) {
    const { frame } = reception;
    if (!matches(this.settings, reception)) return;
    const symbol = symbolNanos(frame.sf, frame.bw);
    const found = Math.max(frame.start_ns, this.since) + DETECT_SYMBOLS * symbol;
    if (found > frame.start_ns + frame.preamble * symbol) return;
    this.after(found, () => {
      if (!this.locked) this.follow(reception);
    });
  }

  follow(reception) {
    const { frame } = reception;
    const { settings } = this;
    const times = frameTimes(frame, this.chip);
    this.locked = reception;
    this.events.preamble(reception);
    if (!this.listening) return;
    this.after(frame.start_ns + times.sync, () => {
      if (frame.syncWord !== settings.syncWord) {
        this.locked = null; // another network
        return;
      }
      this.after(frame.start_ns + times.header, () => this.header(reception));
    });
  }

  header(reception) {
    const { frame } = reception;
    const { settings } = this;
    if (settings.explicit) {
      const good = frame.explicit && !reception.damaged && frame.bytes.length <= (settings.longest ?? 255);
      this.events.header(reception, good);
      if (!good) {
        this.locked = null;
        return;
      }
    }
    if (!this.listening) return;
    this.after(Math.max(frame.end_ns, this.clock.nanos), () => {
      this.locked = null;
      const implicit = !settings.explicit;
      const same = !implicit || (!frame.explicit && frame.crc === settings.crc && frame.bytes.length === settings.length);
      this.events.done(reception, !reception.damaged && same && frame.ldro === settings.ldro);
    });
  }

  /** Power in dBm that arrives in the band at this moment. */
  power(freq, bw) {
    this.prune();
    let milliwatts = 10 ** (noiseFloor(bw) / 10);
    for (const { frame, rssi } of this.onAir) {
      if (Math.abs(frame.freq - freq) <= bw / 2) milliwatts += 10 ** (rssi / 10);
    }
    return 10 * Math.log10(milliwatts);
  }

  /** Whether channel activity of at least a symbol since `since` would be noticed; `preambleOnly` as the SX1276 does. */
  activity(settings, since, preambleOnly) {
    const now = this.clock.nanos;
    return this.onAir.some((reception) => {
      const { frame } = reception;
      const symbol = symbolNanos(frame.sf, frame.bw);
      const end = preambleOnly ? frame.start_ns + frame.preamble * symbol : frame.end_ns;
      return matches(settings, reception) && Math.min(end, now) - Math.max(frame.start_ns, since) >= symbol;
    });
  }
}

/** Payload as the receiver's memory has it: what was damaged on the way is not what was sent. */
export function receivedBytes(reception, good) {
  const bytes = Uint8Array.from(reception.frame.bytes);
  if (!good) for (let i = 0; i < bytes.length; i += 3) bytes[i] ^= 0x55;
  return bytes;
}
