/** What both servers run: a worker that answers itself, counters in memory and storage, a room. */
import { DurableObject } from 'cloudflare:workers';

export class Bench extends DurableObject {
  #count = 0;

  memory() {
    return ++this.#count;
  }

  async read() {
    return (await this.ctx.storage.get('value')) ?? 0;
  }

  async write() {
    const value = ((await this.ctx.storage.get('value')) ?? 0) + 1;
    await this.ctx.storage.put('value', value);
    return value;
  }

  /** Makes the object's state so large. */
  async fill(bytes) {
    const part = new Uint8Array(64 * 1024);
    let index = 0;
    for (let left = bytes; left > 0; left -= part.length) {
      const value = part.slice(0, Math.min(left, part.length));
      crypto.getRandomValues(value);
      this.ctx.storage.put(`part:${String(index++).padStart(8, '0')}`, value);
      if (index % 16 === 0) await this.ctx.storage.sync();
    }
    await this.ctx.storage.sync();
    return index;
  }

  async fetch() {
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  webSocketMessage(_socket, message) {
    for (const socket of this.ctx.getWebSockets()) socket.send(message);
  }

  webSocketClose(socket) {
    socket.close();
  }
}

/**
 * Calls an object from the worker: `callers` loops, each of which awaits one call after the other
 * for `ms`. Returns how many were answered.
 */
async function burst(object, callers, ms) {
  const endMs = Date.now() + ms;
  let count = 0;
  const caller = async () => {
    for (; Date.now() < endMs; count++) await object.memory();
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return count;
}

export default {
  async fetch(request, env) {
    const [, what, name, ...rest] = new URL(request.url).pathname.split('/');
    if (what === 'worker') return new Response('hello');
    const object = env.BENCH.getByName(name ?? '');
    if (what === 'socket') return object.fetch(request);
    if (what === 'burst') {
      const [callers, ms] = rest.map(Number);
      return new Response(String(await burst(object, callers, ms)));
    }
    return new Response(String(await object[what](...rest.map(Number))));
  },
};
