/** What bounds user code in an executor; the configuration's `limits` gives the values. */

export interface ExecutorLimits {
  /** How long user code may keep its thread from the event loop. */
  readonly cpuPerEventMs: number;
  /** JavaScript heap of one executor. */
  readonly executorHeapBytes: number;
  /** Events queued for one object; past it calls fail as overloaded. */
  readonly objectQueueMax: number;
  /** Bytes of socket events that wait beside these; past it sockets are closed. */
  readonly objectSocketBytes: number;
  /** Writes of one object in one record; past it the next event's are a record of their own. */
  readonly objectGroupBytes: number;
  /** Clean storage entries cached per object. */
  readonly objectCacheBytes: number;
  /** Bytes that objects of one executor send before what they wrote is durable, and the node holds. */
  readonly heldOutputBytes: number;
  /** Idle time after which an object leaves memory when it holds no plain socket or timer. */
  readonly idleHibernateMs: number;
  /** The same for objects to which callers still hold stubs, and for as many others as are kept. */
  readonly idleEvictMs: number;
  /** So many idle objects of an executor are kept for longer, those that have no sockets: coming back costs. */
  readonly idleObjectsMax: number;
  /** Results kept per object for calls with a request id, and for how long. */
  readonly requestResultsMax: number;
  readonly requestResultAgeMs: number;
  /** Largest RPC message or socket frame. */
  readonly messageBytes: number;
}

export const executorLimits: ExecutorLimits = {
  cpuPerEventMs: 30_000,
  executorHeapBytes: 2 * 1024 ** 3,
  objectQueueMax: 1000,
  objectSocketBytes: 64 * 1024 * 1024,
  objectGroupBytes: 256 * 1024,
  objectCacheBytes: 16 * 1024 * 1024,
  heldOutputBytes: 64 * 1024 * 1024,
  idleHibernateMs: 10_000,
  idleEvictMs: 70_000,
  idleObjectsMax: 4096,
  requestResultsMax: 1000,
  requestResultAgeMs: 600_000,
  messageBytes: 32 * 1024 * 1024,
};
