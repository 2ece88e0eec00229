/** What both servers run: a worker that answers itself, and objects that read and write. */
import { DurableObject } from 'cloudflare:workers';

export class Bench extends DurableObject {
  async read() {
    return (await this.ctx.storage.get('value')) ?? 0;
  }

  async write() {
    const value = ((await this.ctx.storage.get('value')) ?? 0) + 1;
    await this.ctx.storage.put('value', value);
    return value;
  }

  async fetch() {
    return new Response(String((await this.ctx.storage.get('value')) ?? 0));
  }
}

export default {
  async fetch(request, env) {
    const [, what, name] = new URL(request.url).pathname.split('/');
    if (what === 'worker') return new Response('hello');
    const object = env.BENCH.getByName(name ?? '');
    if (what === 'read') return new Response(String(await object.read()));
    if (what === 'write') return new Response(String(await object.write()));
    return object.fetch(request);
  },
};
