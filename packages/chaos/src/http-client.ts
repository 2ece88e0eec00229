/**
 * One HTTP request to a node and what is known after it. Requests are never sent again: what a
 * client was told is what the checkers judge.
 */
import { Agent, request as httpRequest } from 'node:http';
import type { Outcome } from './history.ts';

export interface Answer {
  readonly outcome: Outcome;
  /** The JSON body; undefined unless `ok`. */
  readonly body?: unknown;
  /** Why it is not `ok`, in words that are the same for the same cause. */
  readonly error?: string;
}

export interface Sending {
  /** `http://host:port`. */
  readonly url: string;
  readonly method: string;
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly timeoutMs: number;
}

/** What says of an error that the request did not run: the word of the server, or of its body. */
const executedHeader = 'homing-executed';
const bodyBytesMax = 8 * 1024 * 1024;

export class HttpClient {
  readonly #agent: Agent;

  constructor(connectionsMax = 64) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: connectionsMax });
  }

  /** Resolves always: with `info` after `timeoutMs` at the latest. */
  send(sending: Sending): Promise<Answer> {
    const { url, method, path, body, timeoutMs } = sending;
    return new Promise((resolve) => {
      const payload = body === undefined ? undefined : JSON.stringify(body);
      const request = httpRequest(new URL(path, url), { method, agent: this.#agent });
      const end = (answer: Answer) => {
        clearTimeout(timer);
        resolve(answer);
      };
      const timer = setTimeout(() => {
        end({ outcome: 'info', error: 'timeout' });
        request.destroy();
      }, timeoutMs);
      request.on('error', (error: NodeJS.ErrnoException) => {
        end(failedToSend(error, request.reusedSocket));
      });
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          bytes += chunk.byteLength;
          if (bytes > bodyBytesMax) request.destroy(new Error('answer too large'));
        });
        response.on('error', () => end({ outcome: 'info', error: 'cut off in its answer' }));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const executed = response.headers[executedHeader];
          end(classify(response.statusCode ?? 0, executed, text));
        });
      });
      request.setHeader('content-type', 'application/json');
      request.end(payload);
    });
  }

  /** Hangs up all connections. */
  close(): void {
    this.#agent.destroy();
  }
}

/**
 * 200 is `ok`. It is `fail` where the node says so (`homing-executed: no`), or the object refused it
 * for its load, which the worker passes on. All else is `info`: an error that went through a worker
 * no longer says whether the object ran.
 */
export function classify(status: number, executed: unknown, text: string): Answer {
  const body = parse(text);
  if (status === 200) {
    return body === undefined
      ? { outcome: 'info', error: 'answer is not JSON' }
      : { outcome: 'ok', body };
  }
  const { overloaded, error } = (body ?? {}) as { overloaded?: boolean; error?: string };
  const surelyNot = executed === 'no' || (status === 429 && overloaded === true);
  const words = `${status} ${error ?? text}`.split('\n')[0] ?? '';
  return { outcome: surelyNot ? 'fail' : 'info', error: withoutNames(words) };
}

/** A connection that was never made carried nothing. */
function failedToSend(error: NodeJS.ErrnoException, reused: boolean): Answer {
  if (error.code === 'ECONNREFUSED') return { outcome: 'fail', error: 'connection refused' };
  const kept = reused ? ' on a kept-alive connection' : '';
  return { outcome: 'info', error: `${error.code ?? error.message}${kept}` };
}

/** Ids and numbers taken out, so that equal causes count as one. */
function withoutNames(words: string): string {
  return words
    .slice(0, 200)
    .replace(/[0-9a-f]{16,}/g, '…')
    .replace(/(?<!^)\b\d+\b/g, 'N');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
