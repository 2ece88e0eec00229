/** Starts the three processes of the skeleton and joins them. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('skeleton-process.js', import.meta.url));

/**
 * @param {'alone' | 'routed'} kind whether a request stays where it came to, or goes to its owner
 * @returns {Promise<import('./bench.js').Subject>}
 */
export async function startSkeleton(kind) {
  const directory = mkdtempSync(join(tmpdir(), 'bench-skeleton-'));
  const children = ['a', 'b', 'c'].map((name) => {
    mkdirSync(join(directory, name));
    return fork(program, [join(directory, name), kind]);
  });
  const messages = async () => Promise.all(children.map((child) => once(child, 'message')));
  const ports = (await messages()).map(([message]) => message.port);
  const served = messages();
  for (const [index, child] of children.entries()) {
    child.send({ ports, self: index });
  }
  return {
    name: kind === 'routed' ? 'routed' : 'skeleton',
    ports: (await served).map(([message]) => message.http),
    pids: children.map(({ pid }) => /** @type {number} */ (pid)),
    request: (name) => `GET /write/${name} HTTP/1.1\r\nHost: bench\r\n\r\n`,
    stop: async () => {
      const ended = children.map((child) => once(child, 'exit'));
      for (const child of children) child.kill('SIGKILL');
      await Promise.all(ended);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
