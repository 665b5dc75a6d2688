/**
 * The way of emulated radios to the project's air server, which knows who hears whom and owns time
 * (docs/reference/interfaces.md, section 4).
 *
 * Each radio is a client of its own there. Between radios of one process alone the air is asked only when one of them
 * begins a frame or breaks it off; with others on the air they go no further ahead of it than `LOOKAHEAD_NS`.
 */

import net from 'node:net';

/** How far one Pico may run ahead of another: less than five symbols of the shortest preamble (spreading factor 5, 500 kHz). */
export const LOOKAHEAD_NS = 250_000;

const NS_PER_US = 1000;

/** A connection that speaks JSON, one object a line. */
class Lines {
  constructor(socket) {
    this.socket = socket;
    this.waiting = []; // those who wait for a line
    this.lines = [];
    this.ended = null;
    let rest = '';
    socket.setNoDelay(true);
    socket.setEncoding('utf8');
    socket.on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      for (const line of lines) this.push(JSON.parse(line));
    });
    const end = (why) => {
      this.ended ??= new Error(`the air has hung up${why ? `: ${why.message ?? why}` : ''}`);
      for (const { reject } of this.waiting.splice(0)) reject(this.ended);
    };
    socket.on('error', end);
    socket.on('close', () => end());
  }

  push(line) {
    if (this.waiting.length) this.waiting.shift().resolve(line);
    else this.lines.push(line);
  }

  send(line) {
    this.socket.write(`${JSON.stringify(line)}\n`);
  }

  async next() {
    if (this.lines.length) return this.lines.shift();
    if (this.ended) throw this.ended;
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }
}

const BANDWIDTH_NAMES = new Map([
  [7812.5, '7.8'], [10416.667, '10.4'], [15625, '15.6'], [20833.333, '20.8'], [31250, '31.25'], [41666.667, '41.7'],
  [62500, '62.5'], [125000, '125'], [250000, '250'], [500000, '500'],
]); // prettier-ignore
const BANDWIDTHS = new Map([...BANDWIDTH_NAMES].map(([hz, name]) => [name, hz]));

/** A frame as the air's line has it. */
function toLine(frame) {
  return {
    freq_khz: Math.round(frame.freq / 1000),
    sf: frame.sf,
    bw_khz: BANDWIDTH_NAMES.get(frame.bw),
    coding_rate: frame.cr,
    preamble_len: frame.preamble,
    output_power: frame.power,
    invert_iq: frame.iq,
    sync_word: frame.syncWord,
    header: frame.explicit,
    crc: frame.crc,
    ldro: frame.ldro,
    airtime_us: Math.round((frame.end_ns - frame.start_ns) / NS_PER_US),
    data: Buffer.from(frame.bytes).toString('hex'),
  };
}

/** The same the other way; what a line does not say is as the project's own radios send. */
function toFrame(line, originNs) {
  const bw = BANDWIDTHS.get(line.bw_khz);
  return {
    freq: line.freq_khz * 1000,
    sf: line.sf,
    bw,
    cr: line.coding_rate,
    preamble: line.preamble_len,
    power: line.output_power ?? 0,
    iq: line.invert_iq,
    syncWord: line.sync_word ?? 0x12,
    explicit: line.header ?? true,
    crc: line.crc ?? true,
    ldro: line.ldro ?? (2 ** line.sf * 1e3) / bw > 16,
    bytes: Buffer.from(line.data, 'hex'),
    start_ns: line.start_us * NS_PER_US - originNs,
    end_ns: line.end_us * NS_PER_US - originNs,
  };
}

/** One radio on the air. Set `chip` and `clock` before anybody transmits. */
class Station {
  constructor(air, name, { gain = 0, position = [0, 0] }) {
    this.air = air;
    this.name = name;
    this.card = { op: 'join', role: 'radio', name, x: position[0], y: position[1], gain_db: gain };
    this.chip = null;
    this.clock = null;
    this.lines = null;
    this.receptions = new Map();
  }

  transmit(frame) {
    this.air.begun.push({ station: this, at: frame.start_ns, frame, line: { op: 'begin', ...toLine(frame) } });
  }

  abort() {
    this.air.begun.push({ station: this, at: this.clock.nanos, line: { op: 'abort' } });
  }

  /** The next line of that kind; what comes before it is taken in. */
  async expect(op) {
    for (;;) {
      const line = await this.lines.next();
      if (line.op === op) return line;
      if (line.op === 'frame') this.begins(line);
      else if (line.op === 'damaged') this.damage(line.id);
      else if (line.op === 'error') throw new Error(`the air refused ${this.name}: ${line.why}`);
    }
  }

  begins(line) {
    const frame = toFrame(line, this.air.originNs);
    const reception = { frame, rssi: line.rssi, snr: line.snr_db, damaged: line.damaged };
    this.receptions.set(line.id, reception);
    const { clock, chip } = this;
    if (clock.nanos >= frame.start_ns) chip.receiver.begins(reception);
    else clock.at(frame.start_ns, () => chip.receiver.begins(reception));
  }

  damage(id) {
    const reception = this.receptions.get(id);
    if (reception) reception.damaged = true;
  }

  /** Wait until that time, or until somebody's frame begins; returns what time it is. */
  async wait(us) {
    this.lines.send({ op: 'wait', until_us: us });
    const { now_us: now } = await this.expect('now');
    for (const [id, { frame }] of this.receptions) if (this.air.toUs(frame.end_ns) < now) this.receptions.delete(id);
    return now;
  }

  /** Wait until that time for certain. */
  async reach(us) {
    let now = this.air.nowUs;
    while (now < us) now = await this.wait(us);
    return now;
  }
}

/** The radios of this process on an air server, and the time that goes with it. */
export class Air {
  /** `address`: `host:port`; `alone`: nobody else is on that air, so that this process may keep it waiting. */
  constructor({ address = null, alone = false } = {}) {
    this.address = address;
    this.alone = alone || !address;
    this.stations = [];
    this.begun = []; // what the air does not know yet
    this.originNs = 0;
    this.nowUs = 0;
    this.onFrame = () => {};
  }

  /** A radio called `name`; `gain`: of its antenna, dB; `position`: [x, y] in m. */
  join(name, options = {}) {
    if (!this.address) throw new Error(`${name}: a radio needs the address of an air server, "air"`);
    const station = new Station(this, name, options);
    this.stations.push(station);
    return station;
  }

  /** Join the air; time there then waits for these radios. */
  async connect() {
    const [host, port] = (this.address ?? '').split(':');
    for (const station of this.stations) {
      station.lines = new Lines(net.connect(Number(port), host));
      station.lines.send(station.card);
      this.nowUs = (await station.expect('joined')).now_us;
      this.originNs = this.nowUs * NS_PER_US - station.clock.nanos;
    }
  }

  /** Emulated nanoseconds to which the air has come. */
  get nanos() {
    return this.nowUs * NS_PER_US - this.originNs;
  }

  toUs(nanos) {
    return Math.floor((nanos + this.originNs) / NS_PER_US);
  }

  /** Let the air come to `nanos`, or to the next frame that somebody else begins before. Returns whether it has come so far. */
  async wait(nanos) {
    const until = this.toUs(nanos);
    if (until <= this.nowUs || !this.stations.length) return true;
    const times = await Promise.all(this.stations.map((station) => station.wait(until)));
    this.nowUs = times[0]; // that frame has ended the waits of all of them at once
    return until <= this.nowUs;
  }

  /** The air comes to `nanos` for certain. */
  async reach(nanos) {
    const until = this.toUs(nanos);
    if (until <= this.nowUs || !this.stations.length) return;
    await Promise.all(this.stations.map((station) => station.reach(until)));
    this.nowUs = until;
  }

  /** Tell the air what has begun since, in the order of time. When this returns, the other radios here know of it. */
  async flush() {
    if (!this.begun.length) return;
    const begun = this.begun.sort((a, b) => a.at - b.at || (a.station.name < b.station.name ? -1 : 1));
    this.begun = [];
    for (const { station, at, frame, line } of begun) {
      await this.reach(at);
      station.lines.send(line);
      if (frame) this.onFrame(station.name, frame);
    }
    await this.reach(this.nanos + NS_PER_US);
  }

  close() {
    for (const { lines } of this.stations) lines?.socket.destroy();
  }
}
