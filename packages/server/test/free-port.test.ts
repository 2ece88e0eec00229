/** Ports that were chosen and are not listened on yet: nobody else chooses them. */
import { createServer } from 'node:net';
import { afterEach, expect, test, vi } from 'vitest';

afterEach(() => vi.restoreAllMocks());

test('two who begin at the same port choose different ones, that can be listened on', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
  const { freePort } = await import('../src/free-port.ts');
  const { freePorts } = await import('../../chaos/src/free-ports.ts');
  const chosen = [await freePort('127.0.0.1'), ...(await freePorts(3))];
  chosen.push(await freePort('127.0.0.1'));
  expect(new Set(chosen).size).toBe(chosen.length);
  for (const port of chosen) {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, resolve);
    });
    server.close();
  }
});
