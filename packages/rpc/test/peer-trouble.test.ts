/**
 * The contract of a link, held while connections are cut, stalled and replaced, and a node starts
 * anew: `up` and `down` take turns, what comes between them is what one link of the sender was
 * given, from its first message on, without a gap.
 */
import type { NetworkHandler, PeerRun } from '@homing/base';
import { afterEach, expect, test } from 'vitest';
import type { PeerNetwork } from '../src/index.ts';
import { closeAll, quick, sleep, startNode, TcpProxy, until } from './peer-nodes.ts';

afterEach(closeAll);

const limits = { ...quick, keepaliveMs: 20, keepaliveTimeoutMs: 60, connectTimeoutMs: 100 };
const frameBytesMax = 4096;

/** Sends numbered messages of its present link, and checks those that come. */
class Talker implements NetworkHandler {
  readonly problems: string[] = [];
  received = 0;
  links = 0;
  #isUp = false;
  #sent = 0;
  #senderLink: number | undefined;
  #next = 0;

  up(peer: PeerRun): void {
    if (this.#isUp) this.problems.push(`up twice: ${peer.run}`);
    this.#isUp = true;
    this.links++;
    this.#sent = 0;
    this.#next = 0;
    this.#senderLink = undefined;
  }

  down(peer: PeerRun): void {
    if (!this.#isUp) this.problems.push(`down twice: ${peer.run}`);
    this.#isUp = false;
  }

  message(_peer: PeerRun, message: Uint8Array): void {
    const view = new DataView(message.buffer, message.byteOffset);
    const [link, index] = [view.getUint32(0), view.getUint32(4)];
    this.#senderLink ??= link;
    if (!this.#isUp) this.problems.push('a message without a link');
    if (link !== this.#senderLink) this.problems.push(`link ${link} in ${this.#senderLink}`);
    if (index !== this.#next) this.problems.push(`message ${index} in place of ${this.#next}`);
    this.#next = index + 1;
    this.received++;
  }

  talk(network: PeerNetwork, to: string, count: number, bytes: number): void {
    for (let sent = 0; sent < count; sent++) {
      const message = new Uint8Array(bytes);
      const view = new DataView(message.buffer);
      view.setUint32(0, this.links);
      view.setUint32(4, this.#sent);
      if (!network.send(to, 'log', message)) return;
      this.#sent++;
    }
  }
}

test('through cuts, stalls and restarts, each link delivers a beginning of what it was given', async () => {
  const settings = { limits: { ...limits, frameBytesMax } };
  const ofB = new Talker();
  const b = await startNode('b', settings, { log: ofB });
  const proxy = await TcpProxy.start(b.network.port);
  let ofA = new Talker();
  let runs = 1;
  const startA = async () => {
    const node = await startNode('a', { ...settings, run: `a-${runs++}` }, { log: ofA });
    node.network.setPeers([{ node: 'b', address: proxy.address }]);
    return node;
  };
  let a = await startA();
  const problems: string[] = [];
  for (let round = 0; round < 150; round++) {
    const dice = Math.random();
    if (dice < 0.08) proxy.cut();
    else if (dice < 0.16) proxy.hold({ there: dice < 0.13, back: dice > 0.11 });
    else if (dice < 0.4) proxy.hold({ there: false, back: false });
    else if (dice < 0.43) {
      await a.network.close();
      problems.push(...ofA.problems);
      ofA = new Talker();
      a = await startA();
    }
    for (let turn = 0; turn < 4; turn++) {
      ofA.talk(a.network, 'b', 20, 8 + Math.floor(Math.random() * 10_000));
      ofB.talk(b.network, 'a', 20, 8 + Math.floor(Math.random() * 300));
      await sleep(2);
    }
  }
  proxy.hold({ there: false, back: false });
  const [before, beforeToo] = [ofA.received, ofB.received];
  await until(() => {
    ofA.talk(a.network, 'b', 1, 8);
    ofB.talk(b.network, 'a', 1, 8);
    return ofA.received > before + 10 && ofB.received > beforeToo + 10;
  });
  expect([...problems, ...ofA.problems, ...ofB.problems]).toEqual([]);
  expect(ofB.links).toBeGreaterThan(3);
});
