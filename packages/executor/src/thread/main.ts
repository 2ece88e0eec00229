/**
 * An executor's thread: loads the worker's bundle and runs its code. Started by executor-threads.ts;
 * everything it knows of the world comes as messages from the node.
 *
 * Order matters here: the platform's own timers are kept first, then the globals are replaced, then
 * user code is loaded.
 */

import { getHeapStatistics } from 'node:v8';
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { actorLimits } from '@homing/actor';
import {
  AssertionFailed,
  assert,
  errorFromData,
  errorToData,
  type FromExecutor,
  type ToExecutor,
  type UnmarkedMessage,
} from '@homing/base';
import { capabilityLimits } from '@homing/capability';
import { openStateReader } from '@homing/storage';
import { installGlobals, installSocketTransport, setCompatibility } from '@homing/web';
import { type Batch, readBatch } from '../batch.ts';
import { beatIntervalMs, Heartbeat } from '../heartbeat.ts';
import { Outbox } from '../outbox.ts';
import type { ThreadData } from '../thread-data.ts';
import { CallReports } from './call-reports.ts';
import { fillEnvironment, fillExports } from './environment.ts';
import { WorkerModule } from './exports.ts';
import { HostValues } from './host-values.ts';
import { ObjectHost } from './object-host.ts';
import { Permits } from './permits.ts';
import { immediate, startInterval, timers } from './platform.ts';
import { SentAhead } from './sent-ahead.ts';
import { callerEnded } from './session-ends.ts';
import { Sessions } from './sessions.ts';
import type { StubConnector } from './stubs.ts';
import { threadLogger } from './thread-log.ts';
import { ThreadSockets } from './thread-sockets.ts';
/** Share of the heap's limit above which idle objects go at once. */
import { WatchedReader } from './watched-reader.ts';
import { installConsole, type WriteLog } from './worker-console.ts';
import { installWorkersModule } from './workers-module.ts';

const memoryShortShare = 0.7;
const brokenInvariantStatus = 70;

assert(parentPort !== null, 'an executor must be started as a worker thread');
const port = parentPort;
const data = workerData as ThreadData;
const { worker, limits } = data;
const outbox = new Outbox<FromExecutor>(port, immediate, timers);
const sentAhead = new SentAhead((message) => outbox.post(message), limits.heldOutputBytes);
const post = (message: UnmarkedMessage): void => sentAhead.post(message);
const write: WriteLog = (level, label, message) => post({ type: 'log', level, label, message });
const logger = threadLogger(write);
const heartbeat = new Heartbeat(data.heartbeat);
const reports = new CallReports();
const permits = new Permits(post, data.isClustered);
const env: Record<string, unknown> = {};
const exports: Record<string, unknown> = {};
const sessionOptions = {
  dupParams: worker.compatibility['rpc_params_dup_stubs'] === true,
  limits: { ...capabilityLimits, messageBytesMax: limits.messageBytes },
};
let module = new WorkerModule({}, new Set());

const values = new HostValues(() => connector);

const objects = new ObjectHost({
  post,
  write,
  reader: new WatchedReader(openStateReader(data.reader), (id, reason) =>
    post({ type: 'damaged', id, reason }),
  ),
  heartbeat,
  limits,
  actorLimits: {
    ...actorLimits,
    queueMax: limits.objectQueueMax,
    socketEventBytesMax: limits.objectSocketBytes,
    groupBytes: limits.objectGroupBytes,
    cacheBytes: limits.objectCacheBytes,
    requestResultsMax: limits.requestResultsMax,
    requestResultAgeMs: limits.requestResultAgeMs,
  },
  reports,
  permits,
  sentAhead,
  classes: new Map(worker.classes.map((entry) => [entry.namespace, entry])),
  module: () => module,
  env,
  exports,
  codec: values,
  sessionOptions,
});

const sessions = new Sessions({
  post,
  objects,
  module: () => module,
  env,
  exports,
  codec: values,
  sessionOptions,
});

const connector: StubConnector = {
  codec: values,
  sessionOptions,
  openObject: (object, from, sink) => {
    const local = data.isClustered ? undefined : objects.connectLocally(object.id, sink);
    if (local === undefined) {
      const activation = objects.activationOf(from);
      return sessions.openThroughNode({ kind: 'object', object }, activation, sink);
    }
    return {
      send: (frame) => local.receive(frame),
      close: () => local.close(callerEnded),
      broken: local.broken,
    };
  },
  openService: (service, from, sink) => {
    const connection = sessions.openService(service, sink);
    const activation = objects.activationOf(from);
    if (activation === undefined) return connection;
    // An entrypoint may pass on to other servers what it is told.
    let isOver = false;
    const refuse = (error: unknown) => {
      if (isOver) return;
      isOver = true;
      connection.close();
      sink.closed(error);
    };
    return {
      isPosted: permits.areAsked,
      send: (frame) =>
        permits.ask(activation, () => void (isOver || connection.send(frame)), refuse),
      close: () => {
        const close = () => {
          if (!isOver) connection.close();
          isOver = true;
        };
        permits.ask(activation, close, close);
      },
    };
  },
};

const sockets = new ThreadSockets({
  post,
  prefix: `${data.socketPrefix}-t${threadId}`,
  activationOf: (context) => objects.activationOf(context),
});

function onMessage(message: ToExecutor): void {
  switch (message.type) {
    case 'frame':
      sessions.onFrame(message.session, message.frame);
      return;
    case 'open':
      sessions.onOpen(message.session, message.to);
      return;
    case 'closed':
      sessions.onClosed(message.session, message.error);
      return;
    case 'activate':
      objects.activate(message);
      return;
    case 'committed':
      objects.committed(message.activation, message.count);
      return;
    case 'appended':
      objects.appended(message.activation, message.count);
      return;
    case 'append-failed':
    case 'reset':
      objects.reset(message.activation, errorFromData(message.error));
      return;
    case 'evict':
      objects.evict(message.activation);
      return;
    case 'alarm':
      objects.alarm(message.activation);
      return;
    case 'object-socket':
      objects.objectSocket(message);
      return;
    case 'adopt-sockets':
      objects.adoptSockets(message);
      return;
    case 'auto-responded':
      objects.autoResponded(message);
      return;
    case 'socket':
      sockets.onEvent(message);
      return;
    case 'permitted':
      permits.onPermitted(message);
      return;
    case 'connected':
      sockets.onConnected(message);
  }
}

function beat(): void {
  heartbeat.beat();
  heartbeat.running(0);
  const report = reports.take();
  if (report !== undefined) post(report);
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
  objects.offerIdle(used > limit * memoryShortShare);
}

/** What user code does not handle is its own affair; a broken invariant of ours ends the thread. */
function report(what: string, error: unknown): void {
  logger.error(what, { error });
  if (!(error instanceof AssertionFailed)) return;
  outbox.flush();
  process.exit(brokenInvariantStatus);
}

async function load(): Promise<void> {
  setCompatibility(worker.compatibility);
  installSocketTransport(sockets);
  installConsole(console, write);
  fillEnvironment(env, worker, data.region, connector);
  installWorkersModule(env, exports);
  for (const [name, value] of Object.entries(worker.vars)) {
    if (typeof value === 'string') process.env[name] = value;
  }
  installGlobals(globalThis);
  process.setSourceMapsEnabled(true);
  const loaded = (await import(data.bundleUrl)) as Record<string, unknown>;
  module = new WorkerModule(loaded, new Set(worker.classes.map((entry) => entry.className)));
  fillExports(exports, worker, module.names, data.region, connector);
}

process.on('unhandledRejection', (error) => report('unhandled rejection', error));
process.on('uncaughtException', (error) => report('uncaught exception', error));
startInterval(beat, beatIntervalMs);
try {
  await load();
  port.on('message', (batch: Batch) => readBatch(batch, onMessage));
  outbox.post({ type: 'ready', exports: module.names });
} catch (error) {
  outbox.post({ type: 'load-failed', error: errorToData(error) });
}
