/** The way of emulated radios to an air server, against the smallest server that owns time as the project's does. */

import net from 'node:net';
import { test } from 'node:test';

import { Clock, MS, ROOT, Sx1262, Sx1276, Sx1262Program, Sx1276Program, assert } from './support.mjs';

const { AirLink } = await import(new URL('air.mjs', ROOT));
const { LOOKAHEAD_NS } = await import(new URL('ether.mjs', ROOT));

const FRAME = [1, 2, 3, 250, 0, 255, 7, 8, 9];

/** Serves radios: time moves to the earliest wait when all wait, and a frame that begins ends the waits of the others. */
class Air {
  constructor(radios) {
    this.radios = radios;
    this.clients = [];
    this.nowUs = 1_000_000;
    this.frames = 0;
    this.log = [];
    this.server = net.createServer((socket) => this.accept(socket));
  }

  listen() {
    return new Promise((resolve) => this.server.listen(0, '127.0.0.1', () => resolve(`127.0.0.1:${this.server.address().port}`)));
  }

  accept(socket) {
    const client = { socket, until: null };
    let rest = '';
    socket.on('data', (bytes) => {
      const lines = (rest + bytes).split('\n');
      rest = lines.pop();
      for (const line of lines) this.obey(client, JSON.parse(line));
      this.go();
    });
    socket.on('error', () => {});
  }

  tell(client, line) {
    client.socket.write(`${JSON.stringify(line)}\n`);
  }

  obey(client, line) {
    if (line.op === 'join') {
      assert.equal(line.role, 'radio');
      client.name = line.name;
      this.clients.push(client);
      this.tell(client, { op: 'joined', now_us: this.nowUs, epoch: '2026-01-01T00:00:00.000Z' });
    } else if (line.op === 'wait') {
      assert.ok(line.until_us > this.nowUs);
      client.until = line.until_us;
    } else if (line.op === 'begin') {
      const { op, ...frame } = line;
      const airtime_us = 41_216; // 9 bytes at SF7, 125 kHz, CR 4/5
      this.log.push([client.name, this.nowUs, frame.data]);
      const heard = { op: 'frame', id: ++this.frames, ...frame, start_us: this.nowUs, end_us: this.nowUs + airtime_us, rssi: -90, snr_db: 8 };
      for (const other of this.clients) {
        if (other === client) continue;
        this.tell(other, heard);
        this.wake(other);
      }
    }
  }

  wake(client) {
    if (client.until === null) return;
    client.until = null;
    this.tell(client, { op: 'now', now_us: this.nowUs });
  }

  go() {
    if (this.clients.length < this.radios || this.clients.some(({ until }) => until === null)) return;
    this.nowUs = Math.min(...this.clients.map(({ until }) => until));
    for (const client of this.clients) if (client.until === this.nowUs) this.wake(client);
  }

  close() {
    for (const { socket } of this.clients) socket.destroy();
    this.server.close();
  }
}

/** A chip with a clock instead of a Pico: what `AirLink.advance` asks of a Pico. */
async function radio(address, Chip, Program, name) {
  const link = new AirLink(address);
  const clock = new Clock();
  const station = link.join(name, {});
  const reports = [];
  const chip = new Chip(clock, { radio: station, name, report: (text) => reports.push(text) });
  Object.assign(station, { chip, clock });
  const bench = {
    clock,
    radio: () => chip,
    run: (nanos) => clock.advance(clock.nanos + nanos),
    get now() {
      return clock.nanos;
    },
  };
  chip.powerOn();
  bench.run(20 * MS);
  const program = new Program(bench, name);
  program.configure();
  await link.connect();
  const pico = {
    get nanos() {
      return clock.nanos;
    },
    get nextEventNanos() {
      return clock.nextEventNanos;
    },
    run: (until) => clock.advance(until),
  };
  return { link, clock, chip, program, pico, reports };
}

test('a frame goes over the air at the exact time, and neither runs past what the air has granted', async () => {
  const air = new Air(2);
  const address = await air.listen();
  const a = await radio(address, Sx1276, Sx1276Program, 'a');
  const b = await radio(address, Sx1262, Sx1262Program, 'b');
  b.program.receive(0xffffff);
  const done = [];
  a.chip.onPin = (pin, level) => level && done.push(a.clock.nanos);
  a.clock.at(a.clock.nanos + 30 * MS, () => a.program.transmit(FRAME));
  let ahead = 0;
  const end = air.nowUs + 200_000;
  const run = async (it) => {
    while (it.link.nowUs < end) {
      await it.link.advance(it.pico, end * 1000 - it.link.originNs);
      ahead = Math.max(ahead, it.clock.nanos + it.link.originNs - air.nowUs * 1000);
    }
  };
  await Promise.all([run(a), run(b)]);
  assert.equal(air.log.length, 1);
  assert.equal(air.log[0][2], Buffer.from(FRAME).toString('hex'));
  const airtime = (12.25 + 28) * 1.024 * MS;
  assert.ok(Math.abs(done.at(-1) + a.link.originNs - (air.log[0][1] * 1000 + airtime)) < 1100, 'TxDone an airtime after its start on the air');
  assert.deepEqual(b.program.received(), FRAME);
  const [, , rssi, snr] = b.program.command(0x14, 0, 0, 0, 0);
  assert.ok(Math.abs(-rssi / 2 - -90) < 1);
  assert.equal(snr / 4, 8);
  assert.ok(ahead <= LOOKAHEAD_NS, `${ahead} ns ahead`);
  assert.deepEqual([...a.reports, ...b.reports], []);
  b.link.close();
  air.close();
});
