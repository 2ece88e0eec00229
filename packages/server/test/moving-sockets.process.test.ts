/**
 * 1,000 sockets, on all nodes of two regions, of one object that moves ten times while they talk: none
 * is closed, and of their frames none is lost, doubled or overtaken, in either direction.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { hasEtcd, TestCluster } from './test-cluster.ts';

const project = fileURLToPath(new URL('fixtures/echo', import.meta.url));
const sockets = 1000;
const moves = 10;
const timeoutMs = 240_000;
/** Between two frames of one socket. */
const talkMs = 2000;
const name = 'moving';

let cluster: TestCluster;

beforeAll(async () => {
  if (!hasEtcd) return;
  // Only the test moves the object.
  process.env['HOMING_MIGRATION_MODE'] = 'off';
  const regions = ['--regions', 'eu,us', '--rtt', '20'];
  cluster = await TestCluster.start(project, '--nodes', '4', ...regions);
}, timeoutMs);

afterAll(() => {
  delete process.env['HOMING_MIGRATION_MODE'];
  cluster?.dispose();
});

interface Answer {
  readonly tag: string;
  readonly number: number;
  /** Where the object did not expect the frame: the last one that it had heard. */
  readonly after?: number;
}

class Talker {
  readonly #socket: WebSocket;
  readonly #tag: string;
  readonly trouble: string[] = [];
  sent = 0;
  heard = 0;

  constructor(host: string, tag: string) {
    this.#tag = tag;
    this.#socket = new WebSocket(`ws://${host}/${name}?tag=${tag}`);
    this.#socket.on('message', (data) => this.#onAnswer(JSON.parse(String(data)) as Answer));
    this.#socket.on('error', (error) => this.trouble.push(`${tag}: ${error.message}`));
    this.#socket.on('close', (code) => this.trouble.push(`${tag}: closed with ${code}`));
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  talk(): void {
    this.#socket.send(String(++this.sent));
  }

  end(): void {
    this.#socket.terminate();
  }

  #onAnswer({ tag, number, after }: Answer): void {
    if (tag !== this.#tag) this.trouble.push(`${this.#tag}: an answer for ${tag}`);
    if (after !== undefined) this.trouble.push(`${tag}: the object had ${number} after ${after}`);
    if (number !== this.heard + 1) this.trouble.push(`${tag}: heard ${number} after ${this.heard}`);
    this.heard = number;
  }
}

async function until(isDone: () => boolean, what: string): Promise<void> {
  const untilMs = Date.now() + 60_000;
  while (!isDone()) {
    if (Date.now() > untilMs) throw new Error(`still not: ${what}`);
    await sleep(50);
  }
}

/** Moves the object to a node that it is not on; which one depends on where it may go. */
async function move(turn: number): Promise<string> {
  const owner = await cluster.ownerOf('ECHO', name, 'n1');
  for (let choice = 0; choice < cluster.nodes.length; choice++) {
    const to = cluster.nodes[(turn + choice) % cluster.nodes.length]?.name ?? '';
    if (to === owner) continue;
    const response = await cluster.admin('n1', '/api/migrate', { namespace: 'ECHO', name, to });
    if (response.ok) return to;
  }
  throw new Error('the object moves nowhere');
}

test.skipIf(!hasEtcd)(
  '1,000 sockets of an object that moves ten times notice nothing',
  async () => {
    const talkers: Talker[] = [];
    for (let number = 0; number < sockets; number++) {
      const node = cluster.nodes[number % cluster.nodes.length];
      talkers.push(new Talker(node?.http ?? '', `s${number}`));
      if (number % 100 === 99) await until(() => talkers.every((one) => one.isOpen), 'all open');
    }
    let isOver = false;
    const talking = (async () => {
      while (!isOver) {
        for (const [number, talker] of talkers.entries()) {
          talker.talk();
          // Spread over the time, so that frames are under way at every moment of a move.
          if (number % 20 === 19) await sleep(talkMs / (sockets / 20));
        }
      }
    })();
    const homes = new Set<string>();
    for (let turn = 0; turn < moves; turn++) {
      await sleep(talkMs / 2);
      homes.add(await move(turn));
    }
    await sleep(talkMs);
    isOver = true;
    await talking;
    await until(() => talkers.every(({ sent, heard }) => heard >= sent), 'all is answered').catch(
      () => {},
    );
    const trouble = talkers.flatMap((talker) => [
      ...talker.trouble,
      ...(talker.heard === talker.sent ? [] : [`heard ${talker.heard} of ${talker.sent}`]),
    ]);
    for (const talker of talkers) talker.end();
    expect(trouble.slice(0, 20)).toEqual([]);
    expect(homes.size).toBeGreaterThan(1);
    expect(Math.min(...talkers.map(({ sent }) => sent))).toBeGreaterThan(moves / 3);
  },
  timeoutMs,
);
