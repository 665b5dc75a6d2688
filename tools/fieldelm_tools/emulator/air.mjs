/**
 * The way of one emulated radio to the project's air server, which owns time (docs/reference/interfaces.md, section 4).
 *
 * The Pico is never further ahead of the air than a receiver needs to find a frame (`LOOKAHEAD_NS`), and never ahead of
 * the start of its own frame: it stops there until the air has come to the same microsecond.
 */

import net from 'node:net';

import { LOOKAHEAD_NS } from './ether.mjs';

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

/** One radio on the air, and the time that goes with it. */
export class AirLink {
  /** `address`: `host:port`. Call `connect` when the radio's chip exists. */
  constructor(address) {
    const [host, port] = address.split(':');
    this.host = host;
    this.port = Number(port);
    this.station = null;
    this.begun = [];
    this.receptions = new Map();
  }

  /** As an `Ether`'s: the station that a radio transmits by. There is one radio to a link. */
  join(name, { gain = 0, position = [0, 0] } = {}) {
    if (this.station) throw new Error('a Pico on the air server has one radio');
    const join = { op: 'join', role: 'radio', name, x: position[0], y: position[1], gain_db: gain };
    this.station = { name, gain, join, chip: null, clock: null };
    this.station.transmit = (frame) => {
      this.begun.push({ op: 'begin', ...toLine(frame), at: frame.start_ns });
      this.station.clock.halt(); // the air has to come to this moment first
    };
    this.station.abort = () => this.begun.push({ op: 'abort', at: this.station.clock.nanos });
    return this.station;
  }

  async connect() {
    const socket = net.connect(this.port, this.host);
    this.lines = new Lines(socket);
    this.lines.send(this.station.join);
    const joined = await this.expect('joined');
    this.originNs = joined.now_us * NS_PER_US - this.station.clock.nanos;
    this.nowUs = joined.now_us;
  }

  async expect(op) {
    for (;;) {
      const line = await this.lines.next();
      if (line.op === op) return line;
      if (line.op === 'frame') this.frameBegins(line);
      else if (line.op === 'damaged') this.damage(line.id);
      else if (line.op === 'error') throw new Error(`the air refused ${this.station.name}: ${line.why}`);
    }
  }

  frameBegins(line) {
    const frame = toFrame(line, this.originNs);
    const reception = { frame, rssi: line.rssi, snr: line.snr_db, damaged: Boolean(line.damaged) };
    this.receptions.set(line.id, reception);
    const { clock, chip } = this.station;
    if (clock.nanos >= frame.start_ns) chip.receiver.begins(reception);
    else clock.at(frame.start_ns, () => chip.receiver.begins(reception));
  }

  damage(id) {
    const reception = this.receptions.get(id);
    if (reception) reception.damaged = true;
  }

  toUs(nanos) {
    return Math.floor((nanos + this.originNs) / NS_PER_US);
  }

  /** Let the air come to `nanos`, or to the next frame that begins before. */
  async wait(nanos) {
    const until = this.toUs(nanos);
    if (until <= this.nowUs) return;
    this.lines.send({ op: 'wait', until_us: until });
    this.nowUs = (await this.expect('now')).now_us;
    for (const [id, { frame }] of this.receptions) if (this.toUs(frame.end_ns) < this.nowUs) this.receptions.delete(id);
  }

  /** One step of the Pico and the air, as far as `until` (ns). */
  async advance(pico, until = Infinity) {
    const event = pico.nextEventNanos;
    if (event > pico.nanos) {
      // asleep: the air may go on to the next thing the Pico does, or to a frame, whichever is first
      const target = Math.min(until, event, pico.nanos + 1e9);
      await this.wait(target);
      pico.run(Math.min(target, Math.max(pico.nanos, this.nowUs * NS_PER_US - this.originNs)));
      if (this.nowUs < this.toUs(target)) return;
    }
    const airNanos = this.nowUs * NS_PER_US - this.originNs;
    pico.run(Math.min(until, Math.max(pico.nanos, airNanos) + LOOKAHEAD_NS));
    const begun = this.begun.splice(0);
    for (const { at, ...line } of begun) {
      await this.reach(at);
      this.lines.send(line);
    }
    await this.reach(pico.nanos);
  }

  /** The air comes to `nanos` for certain. */
  async reach(nanos) {
    while (this.nowUs < this.toUs(nanos)) await this.wait(nanos);
  }

  close() {
    this.lines?.socket.destroy();
  }
}
