/**
 * Keeps one outgoing link up: dials, and dials again after a while whenever it ends. The wait
 * doubles with each failure, and begins anew when a link has stood for as long as the longest wait;
 * after a refusal it is longer, since that lasts until somebody changes a configuration.
 *
 * Invariant: at most one attempt, or one wait, at a time.
 */
import type { ChannelCredentials, ServiceError } from '@grpc/grpc-js';
import type { LinkPurpose, Timer } from '@homing/base';
import { ownHello, type PeerContext } from './context.ts';
import { encodeHello, judge } from './handshake.ts';
import { Link } from './link.ts';
import { type Channel, notNowStatus, openChannel, refusedStatus } from './transport.ts';

export interface DialOptions {
  readonly context: PeerContext;
  readonly credentials: ChannelCredentials;
  readonly node: string;
  readonly address: string;
  readonly purpose: LinkPurpose;
  /** Greater at each call. */
  readonly nextAttempt: () => number;
}

/**
 * How an attempt ended: nobody answered; the peer refused; the peer lives and takes no link yet, as
 * while it starts; or with the link that was made.
 */
type Outcome = 'failed' | 'refused' | 'not-now' | 'ended';

const outcomes: ReadonlyMap<number, Outcome> = new Map([
  [refusedStatus, 'refused'],
  [notNowStatus, 'not-now'],
]);

export class Dialer {
  readonly #options: DialOptions;
  #attempt: Attempt | undefined;
  #waiting: Timer | undefined;
  #settling: Timer | undefined;
  #failures = 0;
  #isStopped = false;

  constructor(options: DialOptions) {
    this.#options = options;
    this.#dial();
  }

  /** Ends its link, and dials no more. */
  stop(reason: string): void {
    this.#isStopped = true;
    this.#waiting?.cancel();
    this.#settling?.cancel();
    this.#attempt?.end(reason, 'ended');
  }

  #dial(): void {
    const { timers, limits } = this.#options.context;
    this.#attempt = new Attempt(this.#options, {
      up: () => {
        this.#settling = timers.after(limits.reconnectDelayMaxMs, () => {
          this.#failures = 0;
        });
      },
      over: (reason, outcome) => this.#again(reason, outcome),
    });
  }

  #again(reason: string, outcome: Outcome): void {
    this.#settling?.cancel();
    if (this.#isStopped) return;
    const { context, node, address, purpose } = this.#options;
    const { timers, limits, troubles } = context;
    const fields = { peer: node, address, purpose, reason };
    let delayMs = limits.refusedRetryMs;
    if (outcome === 'refused') troubles.warn('peer: refused by it', `${node} ${reason}`, fields);
    else {
      if (outcome === 'failed') troubles.warn('peer: not reached', `${node} ${address}`, fields);
      const doubled = limits.reconnectDelayMs * 2 ** this.#failures++;
      delayMs = Math.min(doubled, limits.reconnectDelayMaxMs) * (0.5 + Math.random() / 2);
    }
    this.#waiting = timers.after(delayMs, () => this.#dial());
  }
}

interface AttemptEvents {
  up(): void;
  over(reason: string, outcome: Outcome): void;
}

/** One connection, from dialling to its end. */
class Attempt {
  readonly #options: DialOptions;
  readonly #events: AttemptEvents;
  readonly #number: number;
  readonly #channel: Channel;
  readonly #deadline: Timer;
  #link: Link | undefined;
  #isOver = false;

  constructor(options: DialOptions, events: AttemptEvents) {
    const { context, node, address, purpose, credentials, nextAttempt } = options;
    const { limits, timers } = context;
    this.#options = options;
    this.#events = events;
    this.#number = nextAttempt();
    this.#channel = openChannel(address, credentials, limits);
    this.#deadline = timers.after(limits.connectTimeoutMs, () => {
      this.end(`no answer within ${limits.connectTimeoutMs} ms`, 'failed');
    });
    const { stream } = this.#channel;
    stream.on('data', (frame: Buffer) => {
      if (this.#link === undefined) this.#onAnswer(frame);
      else this.#link.receive(frame);
    });
    stream.on('error', (error: ServiceError) => {
      this.end(error.details, outcomes.get(error.code) ?? 'failed');
    });
    stream.on('end', () => this.end('the peer ended the stream', 'failed'));
    stream.write(encodeHello(ownHello(context, node, purpose, this.#number)));
  }

  /** Ends the connection, with its link. Idempotent. */
  end(reason: string, outcome: Outcome): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#deadline.cancel();
    this.#channel.close();
    this.#link?.end(reason);
    this.#events.over(reason, this.#link === undefined ? outcome : 'ended');
  }

  #onAnswer(frame: Buffer): void {
    if (this.#isOver) return;
    const { context, node, purpose } = this.#options;
    const { limits, timers, counts, table, identity } = context;
    const verdict = judge(identity, frame);
    if ('refused' in verdict) {
      this.end(verdict.refused, 'refused');
      return;
    }
    const { hello, protocol } = verdict;
    const handler = table.handler(purpose);
    if (hello.node !== node || hello.purpose !== purpose || handler === undefined) {
      this.end(`${hello.node} answered for ${hello.purpose}, ${node} was asked`, 'refused');
      return;
    }
    this.#deadline.cancel();
    this.#link = new Link({
      stream: this.#channel.stream,
      hello,
      protocol,
      handler,
      limits,
      timers,
      counts,
      delayMs: () => context.delayMsOf(node),
      hangUp: (reason) => this.end(reason, 'ended'),
    });
    this.#events.up();
    table.adopt(this.#link);
  }
}
