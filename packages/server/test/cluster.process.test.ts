/** Three nodes and etcd, as processes: every node serves every object, and any one may die. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { example, run } from './program.ts';
import { hasEtcd, TestCluster, type TestNode } from './test-cluster.ts';

interface Count {
  readonly value: number;
}

async function increment(node: TestNode, name: string): Promise<number> {
  const response = await fetch(`http://${node.http}/${name}`, { method: 'POST' });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return ((await response.json()) as Count).value;
}

async function value(node: TestNode, name: string): Promise<number> {
  const response = await fetch(`http://${node.http}/${name}`);
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return ((await response.json()) as Count).value;
}

/** Repeats what fails while a node is away; what is not answered may have happened. */
async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  const untilMs = Date.now() + 40_000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > untilMs) throw error;
      await sleep(100);
    }
  }
}

/** A member of a chat room, who remembers what was said. */
class Member {
  readonly #socket: WebSocket;
  readonly texts: string[] = [];
  closeCode: number | undefined;
  #hasJoined = false;
  #woken: (() => void)[] = [];

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as { type: string; text?: string };
      if (message.type === 'message') this.texts.push(message.text ?? '');
      if (message.type === 'history') this.#hasJoined = true;
      for (const wake of this.#woken.splice(0)) wake();
    });
    socket.on('close', (code) => {
      this.closeCode = code;
      for (const wake of this.#woken.splice(0)) wake();
    });
  }

  static async join(node: TestNode, room: string, name: string): Promise<Member> {
    const socket = new WebSocket(`ws://${node.http}/api/room/${room}/websocket`);
    const member = new Member(socket);
    await once(socket, 'open');
    socket.send(JSON.stringify({ name }));
    // The room knows the name from here on.
    await member.#until(() => member.#hasJoined, 'was not let in');
    return member;
  }

  say(text: string): void {
    this.#socket.send(JSON.stringify({ text }));
  }

  heard(text: string): Promise<void> {
    return this.#until(() => this.texts.includes(text), `did not hear ${text}`);
  }

  async #until(isDone: () => boolean, what: string): Promise<void> {
    const untilMs = Date.now() + 30_000;
    while (!isDone()) {
      if (this.closeCode !== undefined) throw new Error(`closed with ${this.closeCode}`);
      if (Date.now() > untilMs) throw new Error(`${what}; heard ${JSON.stringify(this.texts)}`);
      await Promise.race([sleep(200), new Promise<void>((wake) => this.#woken.push(wake))]);
    }
  }

  close(): void {
    this.#socket.terminate();
  }
}

describe.skipIf(!hasEtcd)('a cluster of counters', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await TestCluster.start(example('counter'));
  });
  afterAll(() => cluster.dispose());

  test('every node serves every object', async () => {
    let expected = 0;
    for (let round = 0; round < 3; round++) {
      for (const node of cluster.nodes) {
        expect(await increment(node, 'everywhere')).toBe(++expected);
      }
    }
    expect(await Promise.all(cluster.nodes.map((node) => value(node, 'everywhere')))).toEqual([
      9, 9, 9,
    ]);
  });

  test('an object moves on command, and nobody who calls it notices', async () => {
    await increment(cluster.node('n1'), 'mover');
    let isOver = false;
    let acked = 1;
    const caller = (async () => {
      while (!isOver) acked = await increment(cluster.node('n2'), 'mover');
    })();
    for (const to of ['n2', 'n3', 'n1', 'n3']) {
      const args = ['COUNTER', '--name', 'mover', '--to', to];
      const moved = await run('migrate', ...args, '--admin', `http://${cluster.node('n1').admin}`);
      expect(moved).toMatchObject({ status: 0 });
      expect(await cluster.ownerOf('COUNTER', 'mover', 'n1')).toBe(to);
    }
    isOver = true;
    await caller;
    expect(await value(cluster.node('n1'), 'mover')).toBe(acked);
  });

  test('an object that nobody calls moves again and again', async () => {
    await increment(cluster.node('n1'), 'idle');
    for (const to of ['n2', 'n3', 'n1', 'n2']) {
      const args = ['COUNTER', '--name', 'idle', '--to', to];
      const moved = await run('migrate', ...args, '--admin', `http://${cluster.node('n1').admin}`);
      expect(moved).toMatchObject({ status: 0 });
      expect(await cluster.ownerOf('COUNTER', 'idle', 'n1')).toBe(to);
    }
    expect(await value(cluster.node('n1'), 'idle')).toBe(1);
  });

  test('when the owner is killed another goes on with all that was acknowledged', async () => {
    for (const victim of ['n1', 'n2', 'n3']) {
      const name = `survivor-${victim}`;
      const [other] = cluster.others(victim) as [TestNode];
      await increment(cluster.node(victim), name);
      const owner = await cluster.ownerOf('COUNTER', name, other.name);
      if (owner !== victim) {
        await cluster.admin(owner, '/api/migrate', { namespace: 'COUNTER', name, to: victim });
      }
      const acked = await increment(cluster.node(victim), name);
      cluster.signal(victim, 'SIGKILL');
      expect(await eventually(() => value(other, name))).toBe(acked);
      expect(await increment(other, name)).toBe(acked + 1);
      await cluster.restart(victim);
      expect(await eventually(() => value(cluster.node(victim), name))).toBe(acked + 1);
    }
  });

  test('a node stopped for longer than its session answers nothing stale', async () => {
    await increment(cluster.node('n1'), 'frozen');
    const owner = await cluster.ownerOf('COUNTER', 'frozen', 'n1');
    const [other] = cluster.others(owner) as [TestNode];
    cluster.signal(owner, 'SIGSTOP');
    // Asked while it is stopped: it will find the question when it goes on.
    const asked = value(cluster.node(owner), 'frozen').catch(() => undefined);
    const acked = await eventually(() => increment(other, 'frozen'));
    cluster.signal(owner, 'SIGCONT');
    // Begun before the increment: any answer up to it is right, or none.
    const answer = await asked;
    if (answer !== undefined) expect(answer).toBeLessThanOrEqual(acked);
    expect(await eventually(() => value(cluster.node(owner), 'frozen'))).toBe(acked);
    expect(await value(other, 'frozen')).toBe(acked);
  });

  test('without etcd placed objects are served, and new ones refused until it is back', async () => {
    await increment(cluster.node('n1'), 'placed');
    process.kill(cluster.etcdPid, 'SIGSTOP');
    try {
      await sleep(1000);
      for (const node of cluster.nodes) await increment(node, 'placed');
      const refused = await fetch(`http://${cluster.node('n1').http}/unplaced`, {
        method: 'POST',
        signal: AbortSignal.timeout(30_000),
      });
      expect(refused.status).toBeGreaterThanOrEqual(500);
      expect(await value(cluster.node('n2'), 'placed')).toBe(4);
    } finally {
      process.kill(cluster.etcdPid, 'SIGCONT');
    }
    await eventually(() => increment(cluster.node('n1'), 'unplaced'));
    for (const node of cluster.nodes) await eventually(() => increment(node, 'placed'));
  });

  test('an etcd that lost its memory is refused until an operator says so', async () => {
    await increment(cluster.node('n1'), 'remembered');
    await cluster.wipeEtcd();
    const admins = cluster.nodes.flatMap(({ admin }) => ['--admin', `http://${admin}`]);
    await eventually(async () => {
      const refused = await run('recover', ...admins.slice(0, 2));
      if (!refused.stderr.includes('a majority is needed')) throw new Error(refused.stderr);
    });
    const fresh = await fetch(`http://${cluster.node('n1').http}/unheard-of`, { method: 'POST' });
    expect(fresh.status).toBeGreaterThanOrEqual(500);
    const before = await value(cluster.node('n2'), 'remembered');
    await eventually(async () => {
      const recovered = await run('recover', ...admins);
      if (recovered.status !== 0) throw new Error(recovered.stderr);
    });
    expect(await eventually(() => value(cluster.node('n3'), 'remembered'))).toBe(before);
    expect(await eventually(() => increment(cluster.node('n2'), 'remembered'))).toBe(before + 1);
    await eventually(() => increment(cluster.node('n1'), 'unheard-of'));
  });

  test('a node that is drained gives everything away, and no call fails', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `drained-${index}`);
    for (const [index, name] of names.entries()) {
      await increment(cluster.nodes[index % 3] as TestNode, name);
    }
    let isOver = false;
    let calls = 0;
    const callers = cluster.others('n3').map(async (node) => {
      while (!isOver) {
        await increment(node, names[calls++ % names.length] as string);
      }
    });
    const drained = await run('drain', 'n3', '--admin', `http://${cluster.node('n1').admin}`);
    expect(drained.status).toBe(0);
    expect(drained.stdout).toContain('objectsLeft  0');
    isOver = true;
    await Promise.all(callers);
    expect(calls).toBeGreaterThan(10);
    // Then it ends, and comes back to take objects again.
    cluster.signal('n3', 'SIGTERM');
    expect(await cluster.ended('n3')).toBe(0);
    await cluster.restart('n3');
    for (const name of names) await increment(cluster.node('n3'), name);
  });
});

describe.skipIf(!hasEtcd)('a cluster of chat rooms', () => {
  let cluster: TestCluster;
  beforeAll(async () => {
    cluster = await TestCluster.start(example('chat'));
  });
  afterAll(() => cluster.dispose());

  test('one room on all nodes; each node dies in turn, and the others’ sockets stay open', async () => {
    for (const victim of ['n1', 'n2', 'n3']) {
      const members = new Map<string, Member>();
      for (const node of cluster.nodes) {
        members.set(node.name, await Member.join(node, 'lobby', `${node.name}-${victim}`));
      }
      const owner = await cluster.ownerOf('ROOM', 'lobby', 'n1');
      if (owner !== victim) {
        await cluster.admin(owner, '/api/migrate', {
          namespace: 'ROOM',
          name: 'lobby',
          to: victim,
        });
      }
      const [first, second] = cluster.others(victim).map(({ name }) => members.get(name)) as [
        Member,
        Member,
      ];
      first.say(`before ${victim}`);
      for (const member of members.values()) await member.heard(`before ${victim}`);
      cluster.signal(victim, 'SIGKILL');
      await sleep(500);
      second.say(`after ${victim}`);
      await first.heard(`after ${victim}`);
      await second.heard(`after ${victim}`);
      expect([first.closeCode, second.closeCode]).toEqual([undefined, undefined]);
      await cluster.restart(victim);
      const late = await Member.join(cluster.node(victim), 'lobby', 'late');
      first.say(`again ${victim}`);
      await late.heard(`again ${victim}`);
      for (const member of [...members.values(), late]) member.close();
    }
  });
});
