/**
 * What `import … from 'cloudflare:workers'` gives. The bundle reads it from a global under a
 * registered symbol, which is set before the bundle is evaluated.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { currentContext } from '@homing/base';
import { RpcPromise, RpcProperty, RpcStub, RpcTarget } from '@homing/capability';

export const workersModuleSymbol = Symbol.for('homing.cloudflare.workers');

/** Base of object classes; `extends DurableObject` is what makes a class callable over RPC. */
export class DurableObject {
  readonly ctx: unknown;
  readonly env: unknown;

  constructor(ctx: unknown, env: unknown) {
    this.ctx = ctx;
    this.env = env;
  }
}

/** Base of stateless entrypoints. */
export class WorkerEntrypoint {
  readonly ctx: unknown;
  readonly env: unknown;

  constructor(ctx: unknown, env: unknown) {
    this.ctx = ctx;
    this.env = env;
  }
}

/** What calls on another entrypoint return stubs of; never constructed by user code. */
export class ServiceStub {}

/** An object that reads through to the override of the running code, else to the base. */
function overridable(
  base: object,
): [view: object, run: (value: object, fn: () => unknown) => unknown] {
  const overrides = new AsyncLocalStorage<object>();
  const current = (): object => overrides.getStore() ?? base;
  const view = new Proxy(base, {
    get: (_target, key) => Reflect.get(current(), key),
    has: (_target, key) => Reflect.has(current(), key),
    ownKeys: () => Reflect.ownKeys(current()),
    getOwnPropertyDescriptor: (_target, key) => {
      const found = Reflect.getOwnPropertyDescriptor(current(), key);
      return found === undefined ? undefined : { ...found, configurable: true };
    },
  });
  return [view, (value, fn) => overrides.run(value, fn)];
}

/** Builds the module and publishes it for the bundle. */
export function installWorkersModule(baseEnv: object, baseExports: object): void {
  const [env, withEnv] = overridable(baseEnv);
  const [exports, withExports] = overridable(baseExports);
  Object.defineProperty(globalThis, workersModuleSymbol, {
    value: Object.freeze({
      DurableObject,
      WorkerEntrypoint,
      RpcTarget,
      RpcStub,
      RpcPromise,
      RpcProperty,
      ServiceStub,
      env,
      exports,
      withEnv,
      withExports,
      waitUntil: (promise: Promise<unknown>) => currentContext().waitUntil(promise),
    }),
  });
}
