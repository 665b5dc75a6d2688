/** The way of emulated radios to an air server, against the smallest server that owns time as the project's does. */

import net from 'node:net';
import { test } from 'node:test';

import { Clock, MS, ROOT, Sx1262, Sx1276, Sx1262Program, Sx1276Program, assert } from './support.mjs';

const { Air, LOOKAHEAD_NS } = await import(new URL('air.mjs', ROOT));
const { System } = await import(new URL('system.mjs', ROOT));

const FRAME = [1, 2, 3, 250, 0, 255, 7, 8, 9];

/** Serves radios: time moves to the earliest wait when all wait, and a frame that begins ends the waits of the others. */
class Server {
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
    } else if (line.op === 'abort') {
      this.log.push([client.name, 'abort']);
      for (const other of this.clients) if (other !== client) this.tell(other, { op: 'damaged', id: this.frames });
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

/** Chips with clocks instead of Picos as one system on an air; each has what a `System` asks of a Pico. */
async function system(address, chips, alone = false) {
  const air = new Air({ address, alone });
  const reports = [];
  const radios = chips.map(([Chip, Program, name]) => {
    const clock = new Clock();
    const station = air.join(name);
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
    clock.advance(30 * MS);
    const pico = {
      get nextEventNanos() {
        return clock.nextEventNanos;
      },
      run: (until) => clock.advance(until),
    };
    return { clock, chip, program, pico };
  });
  const picos = radios.map(({ pico }) => pico);
  const it = new System(picos, air);
  it.nanos = 30 * MS;
  await air.connect();
  return { air, radios, it, reports };
}

const AIRTIME = (12.25 + 28) * 1.024 * MS; // FRAME at SF7
const AS_HEARD = [-90, 8]; // dBm, dB

function assertHeard({ program }) {
  assert.deepEqual(program.received(), FRAME);
  const [, , rssi, snr] = program.command(0x14, 0, 0, 0, 0);
  assert.deepEqual([-rssi / 2, snr / 4], AS_HEARD);
}

test('a frame goes over the air at the exact time, and neither runs past what the air has granted', async () => {
  const server = new Server(2);
  const address = await server.listen();
  const a = await system(address, [[Sx1276, Sx1276Program, 'a']]);
  const b = await system(address, [[Sx1262, Sx1262Program, 'b']]);
  const [sender, receiver] = [a.radios[0], b.radios[0]];
  receiver.program.receive(0xffffff);
  const done = [];
  sender.chip.onPin = (pin, level) => level && done.push(sender.clock.nanos);
  sender.clock.at(sender.clock.nanos + 30 * MS, () => sender.program.transmit(FRAME));
  let ahead = 0;
  const end = server.nowUs + 200_000;
  const run = async ({ air, it, radios }) => {
    while (air.nowUs < end) {
      await it.advance(end * 1000 - air.originNs);
      ahead = Math.max(ahead, radios[0].clock.nanos + air.originNs - server.nowUs * 1000);
    }
  };
  await Promise.all([run(a), run(b)]);
  assert.equal(server.log.length, 1);
  const [[name, start, data]] = server.log;
  assert.deepEqual([name, data], ['a', Buffer.from(FRAME).toString('hex')]);
  assert.ok(Math.abs(done.at(-1) + a.air.originNs - (start * 1000 + AIRTIME)) < 1100, 'TxDone an airtime after its start on the air');
  assertHeard(receiver);
  assert.ok(ahead <= LOOKAHEAD_NS, `${ahead} ns ahead`);
  assert.deepEqual([...a.reports, ...b.reports], []);
  a.air.close();
  b.air.close();
  server.close();
});

test('radios of one process that are alone ask the air only when one of them sends', async () => {
  const server = new Server(2);
  const chips = [[Sx1276, Sx1276Program, 'a'], [Sx1262, Sx1262Program, 'b']]; // prettier-ignore
  const { air, radios, it, reports } = await system(await server.listen(), chips, true);
  const [sender, receiver] = radios;
  receiver.program.receive(0xffffff);
  sender.clock.at(sender.clock.nanos + 30 * MS, () => sender.program.transmit(FRAME));
  const end = it.nanos + 200 * MS;
  while (it.nanos < end) await it.advance(end);
  const [[, start]] = server.log;
  assert.equal(server.log.length, 1);
  assert.equal(server.nowUs, start + 1, 'the air was not asked again');
  assertHeard(receiver);
  sender.clock.at(it.nanos + MS, () => sender.program.transmit(FRAME));
  sender.clock.at(it.nanos + 31 * MS, () => sender.program.mode(0x80, 1)); // standby in the middle of it
  const last = it.nanos + 100 * MS;
  while (it.nanos < last) await it.advance(last);
  assert.equal(server.log.at(-1)[1], 'abort');
  assert.equal(receiver.program.command(0x12, 0, 0, 0)[3] & 0x40, 0x40, 'CRC error');
  assert.deepEqual(reports, []);
  air.close();
  server.close();
});
