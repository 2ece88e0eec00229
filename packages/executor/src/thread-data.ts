/** What an executor thread is started with; structured-cloneable. */
import type { ReaderHandle } from '@homing/base';
import type { HeartbeatMemory } from './heartbeat.ts';
import type { ExecutorLimits } from './limits.ts';

/** One object class of the worker. */
export interface ObjectClass {
  /** The export's name. */
  readonly className: string;
  /** Key of its namespace: `<worker>/<class it was first made as>`. */
  readonly namespace: string;
  readonly storage: 'kv' | 'sqlite';
}

export interface ObjectBinding {
  readonly name: string;
  readonly className: string;
}

export interface ServiceBinding {
  readonly name: string;
  /** Export of this worker; `default` when the configuration names none. */
  readonly entrypoint: string;
}

/** A worker project as an executor needs it. */
export interface WorkerDescription {
  readonly name: string;
  readonly vars: Readonly<Record<string, unknown>>;
  readonly classes: readonly ObjectClass[];
  readonly objectBindings: readonly ObjectBinding[];
  readonly serviceBindings: readonly ServiceBinding[];
  /** Compatibility switches by flag name: true where in force. */
  readonly compatibility: Readonly<Record<string, boolean>>;
}

export interface ThreadData {
  readonly worker: WorkerDescription;
  readonly bundleUrl: string;
  readonly reader: ReaderHandle;
  readonly region: string;
  /** Begins the ids of WebSockets made here: names the node and its run. */
  readonly socketPrefix: string;
  /**
   * True where other nodes may take objects over: calls between objects of one thread then pass the
   * node too, which knows whether their answers may still be given.
   */
  readonly isClustered: boolean;
  readonly limits: ExecutorLimits;
  readonly heartbeat: HeartbeatMemory;
}
