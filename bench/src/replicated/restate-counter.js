/**
 * The bench's counter as Restate runs it: a virtual object in a process of its own, which the
 * servers call over HTTP/2. Arguments: the port, and the directory the SDK is installed in.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';

const [port, directory] = process.argv.slice(2);

// The SDK counts on it, and Node has it from 22 on.
/** @type {any} */ (Promise).withResolvers ??= () => {
  /** @type {any} */
  const resolvers = {};
  resolvers.promise = new Promise((resolve, reject) => {
    resolvers.resolve = resolve;
    resolvers.reject = reject;
  });
  return resolvers;
};

const require = createRequire(join(directory ?? '.', 'package.json'));
// biome-ignore lint/correctness/noUndeclaredDependencies: installed in a directory of its own
const restate = require('@restatedev/restate-sdk');

const bench = restate.object({
  name: 'Bench',
  handlers: {
    write: async (/** @type {any} */ context) => {
      const value = ((await context.get('value')) ?? 0) + 1;
      context.set('value', value);
      return value;
    },
  },
});
await restate.serve({ services: [bench], port: Number(port) });
process.send?.('serves');
process.on('disconnect', () => process.exit());
