/**
 * Ports for processes that keep theirs over restarts: below those that the kernel gives to outgoing
 * connections, one of which could otherwise take the port of a node while it is down.
 */
import { createServer } from 'node:net';

const first = 20_000;
const last = 32_000;

/** Different ports of 127.0.0.1 that were free just now. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  let next = first + Math.floor(Math.random() * (last - first));
  for (let tries = 0; ports.length < count; tries++) {
    if (tries > last - first) throw new Error(`no ${count} free ports from ${first} to ${last}`);
    if (await isFree(next)) ports.push(next);
    next = next + 1 < last ? next + 1 : first;
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
