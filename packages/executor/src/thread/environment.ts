/** `env` and `ctx.exports`, as the project's configuration describes them. */
import type { ObjectClass, WorkerDescription } from '../thread-data.ts';
import { DurableObjectNamespace } from './namespaces.ts';
import { loopbackStub, objectStub, type StubConnector, serviceStub } from './stubs.ts';

const regionName = 'HOMING_REGION';

function namespaceOf(
  objectClass: ObjectClass,
  region: string,
  connector: StubConnector,
): DurableObjectNamespace {
  return new DurableObjectNamespace({
    key: objectClass.namespace,
    region,
    makeStub: (object, id) => objectStub(connector, object, id),
  });
}

/** Fills `env`, which user code may hold from the start of its module. */
export function fillEnvironment(
  env: Record<string, unknown>,
  worker: WorkerDescription,
  region: string,
  connector: StubConnector,
): void {
  Object.assign(env, structuredClone(worker.vars));
  const classes = new Map(worker.classes.map((entry) => [entry.className, entry]));
  for (const { name, className } of worker.objectBindings) {
    const objectClass = classes.get(className);
    if (objectClass !== undefined) env[name] = namespaceOf(objectClass, region, connector);
  }
  for (const { name, entrypoint } of worker.serviceBindings) {
    env[name] = serviceStub(connector, { entrypoint, props: {} });
  }
  // Where this code runs. Hidden from those who list `env`: the platform has no such thing.
  if (!(regionName in env)) {
    Object.defineProperty(env, regionName, { value: region, writable: true, configurable: true });
  }
}

/** Fills `exports`, once it is known what the module exports. */
export function fillExports(
  exports: Record<string, unknown>,
  worker: WorkerDescription,
  names: { readonly objects: readonly string[]; readonly entrypoints: readonly string[] },
  region: string,
  connector: StubConnector,
): void {
  const classes = new Map(worker.classes.map((entry) => [entry.className, entry]));
  for (const className of names.objects) {
    const objectClass = classes.get(className);
    if (objectClass !== undefined) exports[className] = namespaceOf(objectClass, region, connector);
  }
  for (const entrypoint of names.entrypoints) {
    exports[entrypoint] = loopbackStub(connector, entrypoint);
  }
}
