/**
 * What the workload talks to: objects that are each a list or a register. Plain Cloudflare code.
 *
 *   POST /list/<object>          {"value"}              → {"list", "length"}
 *   GET  /list/<object>                                 → {"list", "length"}
 *   GET  /register/<object>                             → {"value"}
 *   PUT  /register/<object>      {"value"}              → {"value"}
 *   POST /register/<object>/cas  {"expected", "value"}  → {"set"}
 */
import { DurableObject } from 'cloudflare:workers';

interface Env {
  LEDGER: DurableObjectNamespace<Ledger>;
}

interface Listed {
  readonly list: number[];
  /** Kept apart from the list and written together with it: the two differ where a write was torn. */
  readonly length: number;
}

export class Ledger extends DurableObject<Env> {
  /** Adds a value to the end of the list; answers with the whole list. */
  async append(value: number): Promise<Listed> {
    const { storage } = this.ctx;
    const length = (await storage.get<number>('length')) ?? 0;
    // Not awaited between: both are one atomic write, and the answer waits until it is durable.
    void storage.put(`item:${String(length).padStart(9, '0')}`, value);
    void storage.put('length', length + 1);
    return await this.list();
  }

  async list(): Promise<Listed> {
    const { storage } = this.ctx;
    const items = await storage.list<number>({ prefix: 'item:' });
    return { list: [...items.values()], length: (await storage.get<number>('length')) ?? 0 };
  }

  async read(): Promise<number | null> {
    return (await this.ctx.storage.get<number>('register')) ?? null;
  }

  async write(value: number): Promise<void> {
    await this.ctx.storage.put('register', value);
  }

  /** Writes only where the register holds `expected`; says whether it did. */
  async compareAndSet(expected: number | null, value: number): Promise<boolean> {
    if ((await this.read()) !== expected) return false;
    await this.ctx.storage.put('register', value);
    return true;
  }
}

async function answer(request: Request, env: Env): Promise<Response> {
  const [kind, object, verb] = new URL(request.url).pathname.slice(1).split('/');
  if (object === undefined || object === '') return new Response('no object\n', { status: 404 });
  const ledger = env.LEDGER.getByName(object);
  switch (`${request.method} ${kind} ${verb ?? ''}`.trim()) {
    case 'POST list': {
      const { value } = await request.json<{ value: number }>();
      return Response.json(await ledger.append(value));
    }
    case 'GET list':
      return Response.json(await ledger.list());
    case 'GET register':
      return Response.json({ value: await ledger.read() });
    case 'PUT register': {
      const { value } = await request.json<{ value: number }>();
      await ledger.write(value);
      return Response.json({ value });
    }
    case 'POST register cas': {
      const { expected, value } = await request.json<{ expected: number | null; value: number }>();
      return Response.json({ set: await ledger.compareAndSet(expected, value) });
    }
    default:
      return new Response('no such route\n', { status: 404 });
  }
}

// biome-ignore lint/style/noDefaultExport: what a worker serves is its default export
export default {
  async fetch(request, env): Promise<Response> {
    try {
      return await answer(request, env);
    } catch (error) {
      const { message, overloaded, retryable } = error as Error & {
        readonly overloaded?: boolean;
        readonly retryable?: boolean;
      };
      const status = overloaded === true ? 429 : retryable === true ? 503 : 500;
      return Response.json({ error: message, overloaded, retryable }, { status });
    }
  },
} satisfies ExportedHandler<Env>;
