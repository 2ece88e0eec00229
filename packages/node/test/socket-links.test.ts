/**
 * A client's socket whose object moves among nodes while their links break, from a seed: of the frames
 * in either direction none is lost, doubled or overtaken, and what the object keeps with the socket
 * follows it. As long as the nodes live, that is.
 */
import type {
  Clock,
  Coordinator,
  Epoch,
  Logger,
  Metrics,
  MonotonicMs,
  Network,
  NetworkHandler,
  NodeInfo,
  ObjectIdHex,
  ObjectRef,
  SocketEvent,
  SocketPort,
  Timers,
} from '@homing/base';
import { HomingError } from '@homing/base';
import type { DeliberateBugs } from '@homing/protocol';
import { describe, expect, test } from 'vitest';
import type { ObjectTable } from '../src/object-table.ts';
import { PeerLinks } from '../src/peer-links.ts';
import type { Placement } from '../src/placement.ts';
import { SocketTable } from '../src/socket-table.ts';

const object: ObjectRef = { namespace: 'w/C', id: '0'.repeat(64) as ObjectIdHex };
const socket = 'a/1';
const names = ['a', 'b', 'edge'] as const;
type Name = (typeof names)[number];
const nothing = () => {};
const logger = {
  error: nothing,
  warn: nothing,
  info: nothing,
  debug: nothing,
} as unknown as Logger;

function numbersFrom(seed: number): () => number {
  let state = seed * 2654435761;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Virtual time, and what is to happen when. */
class World {
  nowMs = 0;
  readonly random: () => number;
  #due: { atMs: number; order: number; run: () => void }[] = [];
  #order = 0;

  constructor(seed: number) {
    this.random = numbersFrom(seed);
  }

  at(delayMs: number, run: () => void): { cancel(): void } {
    const entry = { atMs: this.nowMs + delayMs, order: this.#order++, run };
    this.#due.push(entry);
    return { cancel: () => void Object.assign(entry, { run: nothing }) };
  }

  async until(endMs: number): Promise<void> {
    for (;;) {
      this.#due.sort((one, other) => one.atMs - other.atMs || one.order - other.order);
      const next = this.#due[0];
      if (next === undefined || next.atMs > endMs) break;
      this.#due.shift();
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.run();
      // Promises and microtasks of this step.
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    }
    this.nowMs = endMs;
  }

  readonly clock: Clock = {
    monotonicMs: () => this.nowMs as MonotonicMs,
    wallMs: () => this.nowMs as ReturnType<Clock['wallMs']>,
  };
  readonly timers: Timers = { after: (delayMs, run) => this.at(delayMs, run) };
}

interface Link {
  isUp: boolean;
  /** When the last message of each direction arrives: order is kept. */
  readonly lastMs: Map<Name, number>;
}

/** Links between all nodes, which break with what is on them. */
class Wires {
  readonly #world: World;
  readonly #links = new Map<string, Link>();
  readonly handlers = new Map<Name, NetworkHandler>();
  /** What each node believes to have. */
  readonly #believed = new Map<string, Link>();

  constructor(world: World) {
    this.#world = world;
  }

  network(self: Name): Network {
    const send = (to: string, message: Uint8Array): boolean => {
      const link = this.#believed.get(`${self}>${to}`);
      if (link === undefined) return false;
      const world = this.#world;
      const atMs = Math.max(link.lastMs.get(self) ?? 0, world.nowMs + 1 + world.random() * 20);
      link.lastMs.set(self, atMs);
      const peer = { node: self, storeId: self, run: self };
      world.at(atMs - world.nowMs, () => {
        const isHeard = link.isUp && this.#believed.get(`${to}>${self}`) === link;
        if (isHeard) this.handlers.get(to as Name)?.message(peer, message);
      });
      return true;
    };
    return {
      serve: (_purpose, handler) => void this.handlers.set(self, handler),
      setPeers: nothing,
      send: (to, _purpose, message) => send(to, message),
      sendOrEnd: (to, _purpose, message) => void send(to, message),
      peer: (to) =>
        this.#believed.has(`${self}>${to}`) ? { node: to, storeId: to, run: to } : undefined,
      close: async () => {},
    };
  }

  connect(one: Name, other: Name): void {
    const link: Link = { isUp: true, lastMs: new Map() };
    this.#links.set(`${one}-${other}`, link);
    const ends = [
      [one, other],
      [other, one],
    ] as const;
    for (const [self, peer] of ends) this.#believed.set(`${self}>${peer}`, link);
    for (const [self, peer] of ends) {
      this.handlers.get(self)?.up({ node: peer, storeId: peer, run: peer });
    }
  }

  /** Breaks a link, which each end notices in its time; then it comes back. */
  disturb(one: Name, other: Name): void {
    const link = this.#links.get(`${one}-${other}`);
    if (link?.isUp !== true) return;
    const world = this.#world;
    link.isUp = false;
    for (const [self, peer] of [
      [one, other],
      [other, one],
    ] as const) {
      world.at(world.random() * 50, () => {
        if (this.#believed.get(`${self}>${peer}`) !== link) return;
        this.#believed.delete(`${self}>${peer}`);
        this.handlers.get(self)?.down({ node: peer, storeId: peer, run: peer });
      });
    }
    world.at(60 + world.random() * 2000, () => this.connect(one, other));
  }
}

class Run {
  readonly world: World;
  readonly wires: Wires;
  readonly tables = new Map<Name, SocketTable>();
  readonly links = new Map<Name, PeerLinks>();
  owner: Name | undefined = 'a';
  epoch = 1n;
  starting: Name | undefined;
  readonly waiting: (() => void)[] = [];
  /** What came to the object, and to the client. */
  readonly atObject: number[] = [];
  readonly atClient: number[] = [];
  readonly trouble: string[] = [];
  sentByClient = 0;
  sentByObject = 0;
  closed = 0;
  isOver = false;
  port: SocketPort | undefined;

  readonly #bugs: DeliberateBugs;

  constructor(seed: number, bugs: DeliberateBugs = {}) {
    this.#bugs = bugs;
    this.world = new World(seed);
    this.wires = new Wires(this.world);
    for (const name of names) this.#make(name);
  }

  #make(name: Name): void {
    const { clock, timers } = this.world;
    const event = (socketName: string, what: SocketEvent) => {
      // What comes while the object starts waits for it.
      if (this.starting === name) this.waiting.push(() => event(socketName, what));
      else if (this.owner !== name) this.links.get(name)?.resend(object, socketName, what);
      else if (what.type === 'message') this.atObject.push(Number(what.data));
      else this.closed += 1;
    };
    const sockets = new SocketTable({
      clock,
      unattachedBytesMax: 1 << 20,
      events: {
        objectEvent: (_object, socketName, what) => event(socketName, what),
        memoryEvent: nothing,
        autoResponded: nothing,
        counted: nothing,
      },
    });
    this.tables.set(name, sockets);
    const find = (
      _object: ObjectRef,
      _cause: string,
      delivery: Parameters<ObjectTable['deliver']>[2],
    ) => {
      const { owner } = this;
      if (owner === name) delivery.deliver({} as Parameters<typeof delivery.deliver>[0]);
      else if (delivery.isForwarded) delivery.forward(owner ?? '');
      else if (owner === undefined || network.peer(owner, 'call') === undefined) {
        delivery.refuse(new HomingError('unavailable', 'not now'));
      } else delivery.forward(owner);
    };
    const network = this.wires.network(name);
    let known: { readonly node: string; readonly epoch: Epoch } | undefined;
    const placement = {
      learn: (_id: ObjectIdHex, node: string, epoch: Epoch) => {
        if (known === undefined || known.epoch < epoch) known = { node, epoch };
      },
      forget: (_id: ObjectIdHex, node: string) => {
        if (known?.node === node) known = undefined;
      },
      gone: nothing,
      leaving: nothing,
      remembered: () => known,
    };
    const infos = names.map((node) => ({ node }) as NodeInfo);
    const links = new PeerLinks({
      network,
      placement: placement as unknown as Placement,
      coordinator: {
        self: { node: name },
        nodes: () => infos,
        watch: () => ({ stop: nothing }),
      } as unknown as Coordinator,
      sockets,
      clock,
      timers,
      logger,
      metrics: { increment: nothing } as unknown as Metrics,
      limits: {
        gatherTimeoutMs: 1000,
        socketSeekTimeoutMs: 60_000,
        socketWaitingBytesMax: 1 << 20,
        laneKeptBytesMax: 1 << 24,
        leaveTimeoutMs: 1000,
      },
      objects: () =>
        ({
          deliver: find,
          status: () =>
            this.owner === name || this.starting === name
              ? { state: 'active', epoch: this.epoch as Epoch }
              : undefined,
          activation: () => undefined,
          isLeaving: () => false,
          giveBackEvents: nothing,
        }) as unknown as ObjectTable,
      open: () => {
        throw new Error('no sessions here');
      },
      needed: nothing,
      bugs: this.#bugs,
    } as unknown as ConstructorParameters<typeof PeerLinks>[0]);
    this.links.set(name, links);
  }

  /** As the object table does it: the old owner lets go, the new one gathers and starts. */
  async move(to: Name): Promise<void> {
    const { owner: from } = this;
    if (from === undefined || from === to) return;
    this.owner = undefined;
    if (this.tables.get(from)?.hasSockets(object.id)) this.links.get(from)?.left(object);
    this.tables.get(from)?.forget(object.id);
    const epoch = ++this.epoch as Epoch;
    this.starting = to;
    await this.links.get(to)?.gatherSockets(object, epoch);
    this.links.get(to)?.takeSockets(object);
    this.starting = undefined;
    this.owner = to;
    for (const run of this.waiting.splice(0)) run();
  }

  /** The object sends on its socket, where it has it, and notes how far it is. */
  objectSends(): void {
    const table = this.owner === undefined ? undefined : this.tables.get(this.owner);
    const state = table?.describe(socket)?.state;
    if (table === undefined || state === undefined) return;
    const noted = Number(Buffer.from(state.attachment ?? []).toString() || 0);
    if (noted !== this.sentByObject) {
      this.trouble.push(`the socket says ${noted}, and ${this.sentByObject} were sent`);
    }
    this.sentByObject += 1;
    table.send(socket, String(this.sentByObject));
    table.setAttachment(socket, Buffer.from(String(this.sentByObject)));
  }

  async play(): Promise<void> {
    const { world, wires } = this;
    wires.connect('a', 'b');
    wires.connect('a', 'edge');
    wires.connect('b', 'edge');
    await world.until(20);
    this.tables.get('a')?.add(socket, { kind: 'object', object });
    this.port = this.links.get('edge')?.attach(socket, {
      send: (data) => this.atClient.push(Number(data)),
      close: (code, reason) => this.trouble.push(`closed: ${code} ${reason}`),
    });
    await world.until(100);
    const every = (ms: number, act: () => void) => {
      if (this.isOver) return;
      act();
      world.at(world.random() * ms, () => every(ms, act));
    };
    every(20, () => this.port?.message(String(++this.sentByClient)));
    every(20, () => this.objectSends());
    every(1500, () => {
      const [one, other] = (
        [
          ['a', 'edge'],
          ['b', 'edge'],
          ['a', 'edge'],
          ['b', 'edge'],
          ['a', 'b'],
        ] as const
      )[Math.floor(world.random() * 5)] as readonly [Name, Name];
      wires.disturb(one, other);
    });
    every(3000, () => {
      void this.move(names[Math.floor(world.random() * names.length)] as Name);
    });
    await world.until(20_000);
    this.isOver = true;
    await world.until(60_000);
  }
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

describe('a socket between nodes', () => {
  test.each(upTo(150))('loses, doubles and reorders nothing, seed %i', async (seed) => {
    const run = new Run(seed);
    await run.play();
    expect(run.trouble).toEqual([]);
    expect(run.atObject).toEqual(upTo(run.sentByClient));
    expect(run.atClient).toEqual(upTo(run.sentByObject));
    expect(run.sentByObject).toBeGreaterThan(100);
    run.port?.closed(1000, '', true);
    await run.world.until(70_000);
    expect([run.closed, run.links.get('edge')?.socketCount]).toEqual([1, 0]);
  });
  test.each(['lane-forgets', 'lane-doubles'] as const)('would show that %s', async (bug) => {
    const run = new Run(1, { [bug]: true });
    await run.play();
    expect([run.atObject, run.atClient]).not.toEqual([
      upTo(run.sentByClient),
      upTo(run.sentByObject),
    ]);
  });
});
