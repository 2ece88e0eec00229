/**
 * Ports for processes that keep theirs over restarts: below those that the kernel gives to outgoing
 * connections, one of which could otherwise take the port of a node while it is down. Nobody else who
 * chooses ports this way, `homing cluster` among them, chooses one of these while this process runs.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

const first = 20_000;
const last = 32_000;

const loopback = '127.0.0.1';

/** Different ports of 127.0.0.1 that nobody uses or has chosen. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  let next = first + Math.floor(Math.random() * (last - first));
  for (let tries = 0; ports.length < count; tries++) {
    if (tries > last - first) throw new Error(`no ${count} free ports from ${first} to ${last}`);
    if ((await isFree(next)) && (await mark(next))) ports.push(next);
    next = next + 1 < last ? next + 1 : first;
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, loopback, () => server.close(() => resolve(true)));
  });
}

/** False where another process has: its UDP socket at the port, which is in nobody's way, tells. */
function mark(port: number): Promise<boolean> {
  const socket = createSocket('udp4');
  return new Promise((resolve) => {
    socket.once('error', ({ code }: NodeJS.ErrnoException) => {
      socket.close();
      resolve(code !== 'EADDRINUSE');
    });
    socket.bind({ port, address: loopback, exclusive: true }, () => {
      socket.unref();
      resolve(true);
    });
  });
}
