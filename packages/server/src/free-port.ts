/**
 * Ports that a process of this machine may keep over restarts: one that was chosen is chosen by no other
 * process for as long as the one that chose it runs, also before anybody listens there and while who did
 * is down. Called by the commands that run nodes, for a port of 0.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { CommandError } from './usage-error.ts';

/** Below those that kernels give to outgoing connections, one of which could take it at any time. */
const portsToChoose = { first: 20_000, count: 12_000 };
/** One after the other, so that none is chosen again before it is listened on. */
let portsChosen = Math.floor(Math.random() * portsToChoose.count);

/** A TCP port that nobody listens on. */
export async function freePort(host: string): Promise<number> {
  const { first, count } = portsToChoose;
  for (let attempt = 0; attempt < count; attempt++) {
    const port = first + (portsChosen++ % count);
    if ((await isFree(host, port)) && (await mark(port))) return port;
  }
  throw new CommandError(`no free port was found on ${host}: name the ports to use`);
}

function isFree(host: string, port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
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
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, () => {
      socket.unref();
      resolve(true);
    });
  });
}
