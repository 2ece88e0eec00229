/**
 * `homing dev`: one node with placement and storage embedded, and a worker project that is built
 * again when it changes. The composition root of a single node: ports meet their adapters here.
 */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Logger } from '@homing/base';
import { bundleProject, watchProject } from '@homing/bundler';
import { ConfigError, readProject, type WorkerProject } from '@homing/config';
import { embeddedCoordinator } from '@homing/coordinator';
import { executorThreads } from '@homing/executor';
import { connectWebSocket, startGateway } from '@homing/gateway';
import { HomingNode, localLogs, nodeLimits } from '@homing/node';

import { startRpc } from '@homing/rpc';

import { openRocksStore } from '@homing/storage';
import { startAdmin } from './admin.ts';
import { adminView } from './admin-view.ts';
import { forPeople, portTaken, printLog, readerOf } from './compose.ts';
import type { DevLimits } from './limits.ts';
import { PrometheusMetrics } from './metrics.ts';
import { systemClock, systemTimers } from './system.ts';
import { CommandError } from './usage-error.ts';
import { version } from './version.ts';
import { describeWorker, Namespaces } from './worker-version.ts';

export interface DevOptions {
  readonly dir: string;
  readonly host: string;
  readonly port: number;
  readonly grpcPort: number;
  readonly adminPort: number;
  readonly data: string | undefined;
  readonly watch: boolean;
  readonly env: string | undefined;
  readonly region: string;
  readonly limits: DevLimits;
  readonly logger: Logger;
  /** For people: stdout. */
  readonly print: (line: string) => void;
}

export interface DevNode {
  readonly port: number;
  readonly grpcPort: number;
  readonly adminPort: number;
  /** Resolves when the store's disk failed: the process must end, with a status that is not 0. */
  readonly failed: Promise<unknown>;
  /** Ends everything in order; what was acknowledged is on disk. Idempotent. */
  close(): Promise<void>;
}

const nodeName = 'n1';
/** How long requests under way may take when the node stops. */
const drainTimeoutMs = 5000;

/** Resolves once the node serves. Rejects with what keeps it from serving; then nothing is left. */
export async function startDev(options: DevOptions): Promise<DevNode> {
  const closers: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (let step = closers.pop(); step !== undefined; step = closers.pop()) await step();
  };
  try {
    const started = await compose(options, closers);
    return { ...started, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function compose(
  options: DevOptions,
  closers: (() => Promise<unknown>)[],
): Promise<Omit<DevNode, 'close'>> {
  const { logger, region, host, print } = options;
  const project = loadProject(options);
  for (const warning of project.warnings) print(`warning: ${warning}`);
  const data = resolve(options.data ?? join(project.dir, '.homing'));
  mkdirSync(data, { recursive: true });
  const metrics = new PrometheusMetrics();
  let fatal: (error: unknown) => void = () => {};
  const failed = new Promise<unknown>((resolve) => {
    fatal = resolve;
  });
  const store = await openRocksStore({
    directory: join(data, 'store'),
    logger,
    metrics,
    onFailure: (error) => fatal(error),
  });
  closers.push(() => store.close());
  const coordinator = embeddedCoordinator({
    node: nodeName,
    region,
    zone: region,
    storeId: store.storeId,
    starts: store.starts,
  });
  closers.push(() => coordinator.close());
  const namespaces = new Namespaces(project);
  const node = new HomingNode({
    store,
    logs: localLogs(store),
    coordinator,
    clock: systemClock,
    timers: systemTimers,
    logger,
    metrics,
    limits: {
      ...nodeLimits,
      executors: options.limits.executors,
      objectQueueMax: options.limits.objectQueueMax,
      socketEventBytesMax: options.limits.objectSocketBytes,
      socketWaitingBytesMax: options.limits.socketWaitingBytes,
      laneKeptBytesMax: options.limits.laneKeptBytes,
      // A claim costs nothing here: there is no point in keeping what is not in memory.
      asleepMax: 0,
    },
    namespaceName: (key) => namespaces.nameOf(key),
    workerLog: (line) => printLog(print, line),
    connect: connectWebSocket(),
    fatal: (error) => fatal(error),
  });
  closers.push(() => node.close());
  const factory = (worker: WorkerProject, bundleUrl: string) =>
    executorThreads({
      worker: describeWorker(worker),
      bundleUrl,
      reader: readerOf(store),
      region,
      socketPrefix: nodeName,
      isClustered: false,
      limits: options.limits,
      timers: systemTimers,
      logger,
    });
  const outDir = join(data, 'build');
  const bundle = await bundleProject(project, { outDir });
  if (!bundle.ok)
    throw new CommandError(`${project.name} does not build:\n${bundle.errors.join('\n')}`);
  for (const warning of bundle.warnings) print(`warning: ${warning}`);
  const loaded = await node.start(factory(project, bundle.url));
  if (!('objects' in loaded)) {
    throw new CommandError(
      `${project.name} could not be loaded: ${loaded.stack ?? loaded.message}`,
    );
  }
  const state = { project };
  const gateway = await startGateway({
    host,
    port: options.port,
    dispatcher: node,
    colo: nodeName,
    region,
    logger: forPeople(logger, print),
  }).catch(portTaken('--port', options.port));
  closers.push(() => gateway.close(drainTimeoutMs));
  const rpc = await startRpc({
    host,
    port: options.grpcPort,
    dispatcher: node,
    namespaces: (name) => namespaces.keyOf(name),
    locate: (object) => node.locate(object),
    logger,
  }).catch(portTaken('--grpc-port', options.grpcPort));
  closers.push(() => rpc.close(drainTimeoutMs));
  const addresses = () => ({
    http: `${host}:${gateway.port}`,
    grpc: `${host}:${rpc.port}`,
  });
  const admin = await startAdmin({
    host,
    port: options.adminPort,
    view: adminView({
      node,
      store,
      metrics,
      namespaces,
      worker: () => state.project.name,
      version,
      nodeName,
      region,
      startedAt: new Date(),
      addresses,
    }),
  }).catch(portTaken('--admin-port', options.adminPort));
  closers.push(() => admin.close());
  if (options.watch) {
    const watch = new ProjectWatch({ ...options, outDir, node, factory, namespaces, state });
    closers.push(() => watch.stop());
    await watch.start(project, bundle.url);
  }
  announce(print, project, { http: gateway.port, grpc: rpc.port, admin: admin.port });
  return {
    port: gateway.port,
    grpcPort: rpc.port,
    adminPort: admin.port,
    failed,
  };
}

function loadProject({ dir, env }: DevOptions): WorkerProject {
  return readProject(dir, env === undefined ? {} : { env });
}

function announce(
  print: (line: string) => void,
  project: WorkerProject,
  ports: { readonly http: number; readonly grpc: number; readonly admin: number },
): void {
  print(`homing ${version}: ${project.name}`);
  for (const { className, namespace } of project.classes) {
    const bindings = project.objectBindings.filter((entry) => entry.className === className);
    const names = bindings.map((entry) => entry.name).join(', ') || namespace;
    print(`  object  ${names} (class ${className})`);
  }
  print(`  http    http://localhost:${ports.http}`);
  print(`  grpc    localhost:${ports.grpc}`);
  print(`  admin   http://localhost:${ports.admin}`);
  print(`ready http://127.0.0.1:${ports.http}`);
}

interface ProjectWatchOptions extends DevOptions {
  readonly outDir: string;
  readonly node: HomingNode;
  readonly factory: (
    project: WorkerProject,
    bundleUrl: string,
  ) => Parameters<HomingNode['replaceWorker']>[0];
  readonly namespaces: Namespaces;
  readonly state: { project: WorkerProject };
}

/** Builds again on change. What does not build, load or read leaves the last good one serving. */
class ProjectWatch {
  readonly #options: ProjectWatchOptions;
  #watch: { stop(): Promise<void> } | undefined;
  #running: string | undefined;
  #work: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: ProjectWatchOptions) {
    this.#options = options;
  }

  async start(project: WorkerProject, running?: string): Promise<void> {
    this.#running = running;
    const { outDir } = this.#options;
    this.#watch = await watchProject(project, {
      outDir,
      onResult: (result) => {
        this.#later(async () => {
          if (!result.ok) {
            this.#failed(`does not build:\n${result.errors.join('\n')}`);
          } else if (result.url !== this.#running) {
            await this.#replace(project, result.url);
          }
        });
      },
      onConfigChanged: () => this.#later(() => this.#reconfigure()),
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#watch?.stop();
    await this.#work;
  }

  #later(step: () => Promise<void>): void {
    this.#work = this.#work
      .then(() => (this.#stopped ? undefined : step()))
      .catch((error: unknown) => this.#failed(String(error)));
  }

  async #replace(project: WorkerProject, bundleUrl: string): Promise<void> {
    const { node, factory, namespaces, state, print } = this.#options;
    const loaded = await node.replaceWorker(factory(project, bundleUrl));
    if (!('objects' in loaded)) {
      this.#failed(`could not be loaded: ${loaded.stack ?? loaded.message}`);
      return;
    }
    this.#running = bundleUrl;
    state.project = project;
    namespaces.project = project;
    print(`reloaded ${project.name}`);
  }

  async #reconfigure(): Promise<void> {
    let project: WorkerProject;
    try {
      project = loadProject(this.#options);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.#failed(`has a bad configuration:\n${error.message}`);
      return;
    }
    await this.#watch?.stop();
    await this.start(project);
  }

  #failed(why: string): void {
    const { print, state } = this.#options;
    print(`${state.project.name} ${why}\nthe last good version goes on serving`);
  }
}
