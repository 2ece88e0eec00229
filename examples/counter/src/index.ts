import { DurableObject } from 'cloudflare:workers';

interface Env {
  COUNTER: DurableObjectNamespace<Counter>;
}

/** A number that survives. One object a name. */
export class Counter extends DurableObject<Env> {
  /** The number now. 0 when nobody counted yet. */
  async value(): Promise<number> {
    return (await this.ctx.storage.get<number>('value')) ?? 0;
  }

  /** Adds `by` and returns the new number. Calls never overlap between the read and the write. */
  async increment(by = 1): Promise<number> {
    const value = (await this.value()) + by;
    await this.ctx.storage.put('value', value);
    return value;
  }
}

/** `POST /<name>` increments, `GET /<name>` reads; both answer `{"name", "value"}`. */
export default {
  async fetch(request, env): Promise<Response> {
    const name = decodeURIComponent(new URL(request.url).pathname.slice(1));
    if (name === '') {
      return new Response('POST /<name> increments the counter, GET /<name> reads it.\n');
    }
    const counter = env.COUNTER.getByName(name);
    switch (request.method) {
      case 'GET':
        return Response.json({ name, value: await counter.value() });
      case 'POST':
        return Response.json({ name, value: await counter.increment() });
      default:
        return new Response('use GET or POST\n', { status: 405, headers: { Allow: 'GET, POST' } });
    }
  },
} satisfies ExportedHandler<Env>;
