/**
 * The source of `cloudflare:workers` inside a bundle. What it exports lives in the executor, which
 * puts it at a well-known place before it loads the bundle.
 */
export const workersModule = `
const workers = globalThis[Symbol.for('homing.cloudflare.workers')];
${[
  'DurableObject',
  'WorkerEntrypoint',
  'RpcTarget',
  'RpcStub',
  'RpcPromise',
  'RpcProperty',
  'ServiceStub',
  'env',
  'exports',
  'withEnv',
  'withExports',
  'waitUntil',
]
  .map((name) => `const $${name} = workers.${name};\nexport { $${name} as ${name} };`)
  .join('\n')}
`;
