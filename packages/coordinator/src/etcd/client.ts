/**
 * Requests to etcd, over the one library that speaks its protocol. Everything here is one attempt: what
 * to repeat is decided by callers, who alone know which repeats are harmless.
 *
 * Invariants
 * 1. No request is repeated in here, and the library's own repeats are off: a transaction that was
 *    applied and lost its answer must not run again unseen.
 * 2. An error that `isAway` says the outcome is unknown. Any other error is etcd's own refusal: the
 *    request was not executed.
 * 3. The answer to every transaction passes `inspect`, so that a wiped or foreign etcd is noticed by
 *    whatever is asked.
 * 4. One endpoint is used at a time; a failure moves on to the next, and `onAway` says so.
 */
import { type Clock, HomingError, type Timers } from '@homing/base';
import {
  castGrpcError,
  Etcd3,
  EtcdLeaseInvalidError,
  EtcdPermissionDeniedError,
  GRPCFailedPreconditionError,
  GRPCInvalidArgumentError,
  GRPCNotFoundError,
  GRPCNotImplementedError,
  GRPCOutOfRangeError,
  GRPCUnauthenticatedError,
  type IOptions,
} from 'etcd3';
import type { EtcdLimits } from './limits.ts';
import { type Answer, readAnswer, type Transaction, writeTransaction } from './transaction.ts';
import { openWatch, type WatchHandle, type WatchHandler } from './watch-stream.ts';

export interface EtcdTls {
  readonly ca: Buffer;
  readonly cert?: Buffer | undefined;
  readonly key?: Buffer | undefined;
}

/** Compares what answers say of etcd's identity with what is known. */
export interface Inspector {
  /** The least revision that a request sent now may be answered with. */
  floor(): bigint;
  inspect(answer: { readonly clusterId: string; readonly revision: bigint }, floor: bigint): void;
}

export interface EtcdClientOptions {
  readonly endpoints: readonly string[];
  readonly tls?: EtcdTls | undefined;
  readonly credentials?: { readonly username: string; readonly password: string } | undefined;
  readonly limits: EtcdLimits;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly inspector: Inspector;
}

interface Endpoint {
  readonly address: string;
  etcd: Etcd3;
}

/** The library would repeat requests and shut out endpoints; both are decided here. */
type Policy = NonNullable<NonNullable<IOptions['faultHandling']>['global']>;
const once = {
  execute: async (run: (context: { signal: AbortSignal }) => unknown) =>
    await run({ signal: new AbortController().signal }),
} as unknown as Policy;

export class EtcdClient {
  /** Called after a request got no answer: what else comes from that endpoint is in doubt too. */
  onAway: (() => void) | undefined;
  readonly #options: EtcdClientOptions;
  readonly #endpoints: readonly Endpoint[];
  #current = 0;
  #requests = 0;
  #closed = false;

  constructor(options: EtcdClientOptions) {
    this.#options = options;
    this.#endpoints = options.endpoints.map((address) => ({ address, etcd: this.#open(address) }));
  }

  /** One transaction, atomic and linearizable; also the way to read. */
  async transact(
    transaction: Transaction,
    timeoutMs = this.#options.limits.requestTimeoutMs,
  ): Promise<Answer> {
    const { inspector } = this.#options;
    const floor = inspector.floor();
    const response = await this.#request(timeoutMs, (etcd, options) =>
      etcd.kv.txn(writeTransaction(transaction), options),
    );
    const answer = readAnswer(response);
    inspector.inspect(answer, floor);
    return answer;
  }

  async grantLease(ttlSeconds: number): Promise<{ lease: string; ttlSeconds: number }> {
    const { ID, TTL } = await this.#request(
      this.#options.limits.requestTimeoutMs,
      (etcd, options) => etcd.leaseClient.leaseGrant({ TTL: ttlSeconds }, options),
    );
    return { lease: ID, ttlSeconds: Number(TTL) };
  }

  /** A lease that is gone already is as good as revoked. */
  async revokeLease(lease: string): Promise<void> {
    try {
      await this.#request(this.#options.limits.requestTimeoutMs, (etcd, options) =>
        etcd.leaseClient.leaseRevoke({ ID: lease }, options),
      );
    } catch (error) {
      if (!isLeaseGone(error)) throw error;
    }
  }

  /**
   * The lease's time from now, 0 when etcd says that there is no such lease. A stream for each, since
   * the library's own keep-alive also reports loss when it merely cannot reach etcd.
   */
  async keepAlive(lease: string, timeoutMs: number): Promise<number> {
    const { TTL } = await this.#request(timeoutMs, async (etcd, options) => {
      const stream = await etcd.leaseClient.leaseKeepAlive(options);
      return await new Promise<{ TTL: string }>((resolve, reject) => {
        stream.on('data', (answer) => {
          resolve(answer);
          stream.end();
        });
        stream.on('error', reject);
        stream.on('end', () => reject(new Error('the stream ended without an answer')));
        stream.write({ ID: lease });
      });
    });
    return Number(TTL);
  }

  /** Events of all keys that begin with one of `prefixes`, from `revision` on. */
  async watch(
    prefixes: readonly string[],
    revision: bigint,
    handler: WatchHandler,
  ): Promise<WatchHandle> {
    const stream = await this.#request(this.#options.limits.requestTimeoutMs, (etcd) =>
      etcd.watchClient.watch(),
    );
    return openWatch(stream, prefixes, revision, handler);
  }

  close(): void {
    this.#closed = true;
    for (const { etcd } of this.#endpoints) etcd.close();
  }

  #open(address: string): Etcd3 {
    const { tls, credentials, limits, clock } = this.#options;
    const deadline = () => ({ deadline: clock.wallMs() + limits.requestTimeoutMs });
    return new Etcd3({
      hosts: [address],
      ...(tls === undefined
        ? {}
        : {
            credentials: {
              rootCertificate: tls.ca,
              ...(tls.cert === undefined ? {} : { certChain: tls.cert }),
              ...(tls.key === undefined ? {} : { privateKey: tls.key }),
            },
          }),
      ...(credentials === undefined ? {} : { auth: { ...credentials, callOptions: deadline } }),
      faultHandling: { host: () => once, global: once },
      grpcOptions: {
        'grpc.max_receive_message_length': limits.answerBytesMax,
        'grpc.initial_reconnect_backoff_ms': limits.retryMs,
        'grpc.max_reconnect_backoff_ms': limits.retryMaxMs,
        // A watch is silent for hours: pings find the connection that died without a word. etcd hangs
        // up on clients that ping more often than every 5 s.
        'grpc.keepalive_time_ms': 10_000,
        'grpc.keepalive_timeout_ms': 5000,
      },
    });
  }

  async #request<Response>(
    timeoutMs: number,
    send: (etcd: Etcd3, options: { deadline: number }) => Promise<Response>,
  ): Promise<Response> {
    if (this.#closed) throw away('', 'the coordinator is closed');
    const { limits, clock, timers } = this.#options;
    if (this.#requests >= limits.requestsMax) {
      throw new HomingError('overloaded', `${limits.requestsMax} requests to etcd are under way`);
    }
    const index = this.#current;
    const endpoint = this.#endpoints[index] as Endpoint;
    const { etcd, address } = endpoint;
    this.#requests += 1;
    try {
      return await new Promise<Response>((resolve, reject) => {
        // The deadline cancels the request; that the caller goes on is not left to the library.
        const late = () => reject(new Error(`no answer in ${timeoutMs} ms`));
        const timer = timers.after(timeoutMs, late);
        void send(etcd, { deadline: clock.wallMs() + timeoutMs })
          .then(resolve, reject)
          .finally(() => timer.cancel());
      });
    } catch (cause) {
      const error = classify(address, cause);
      if (isAway(error)) {
        if (isStaleLogin(cause) && endpoint.etcd === etcd && !this.#closed) {
          etcd.close();
          endpoint.etcd = this.#open(address);
        }
        this.#moveFrom(index);
      }
      throw error;
    } finally {
      this.#requests -= 1;
    }
  }

  #moveFrom(index: number): void {
    if (this.#current !== index || this.#closed) return;
    this.#current = (index + 1) % this.#endpoints.length;
    this.onAway?.();
  }
}

/** True of an error after which nobody knows whether the request was executed. */
export function isAway(error: unknown): boolean {
  return error instanceof HomingError && error.details.etcd === 'away';
}

/** True of an error by which etcd says that the lease a request named does not exist. */
export function isLeaseGone(error: unknown): boolean {
  return error instanceof HomingError && error.details.etcd === 'lease-gone';
}

function away(address: string, message: string, cause?: unknown): HomingError {
  return new HomingError('unavailable', `no answer from etcd ${address}: ${message}`, {
    executed: 'maybe',
    details: { etcd: 'away' },
    cause,
  });
}

function classify(address: string, cause: unknown): HomingError {
  const error = castGrpcError(cause instanceof Error ? cause : new Error(String(cause)));
  const { message } = error;
  if (isStaleLogin(error)) return away(address, message, cause);
  if (error instanceof EtcdLeaseInvalidError) {
    return new HomingError('unavailable', message, { details: { etcd: 'lease-gone' }, cause });
  }
  if (error instanceof EtcdPermissionDeniedError) {
    const hint = 'the user needs a role that reads and writes everything under the prefix';
    return new HomingError('permission_denied', `etcd ${address}: ${message}; ${hint}`, { cause });
  }
  if (error instanceof GRPCUnauthenticatedError || isLoginRefused(message)) {
    const hint = 'check the credentials of etcd';
    return new HomingError('unauthenticated', `etcd ${address}: ${message}; ${hint}`, { cause });
  }
  const refused = [
    GRPCInvalidArgumentError,
    GRPCFailedPreconditionError,
    GRPCNotFoundError,
    GRPCOutOfRangeError,
    GRPCNotImplementedError,
  ].some((type) => error instanceof type);
  if (!refused) return away(address, message, cause);
  return new HomingError('internal', `etcd ${address} refused: ${message}`, {
    executed: 'no',
    cause,
  });
}

/** etcd forgets logins when it restarts, and voids them when users change: log in anew. */
function isStaleLogin(error: unknown): boolean {
  return (
    error instanceof Error && /invalid auth token|revision of auth store is old/.test(error.message)
  );
}

function isLoginRefused(message: string): boolean {
  return /authentication failed|user name (not found|is empty)|authentication is not enabled/.test(
    message,
  );
}
