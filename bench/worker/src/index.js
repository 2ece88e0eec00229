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

export default {
  async fetch(request, env) {
    const [, what, name] = new URL(request.url).pathname.split('/');
    if (what === 'worker') return new Response('hello');
    const object = env.BENCH.getByName(name ?? '');
    if (what === 'socket') return object.fetch(request);
    return new Response(String(await object[what]()));
  },
};
