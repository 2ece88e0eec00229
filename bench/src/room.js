/** A room: many sockets on one object, each message to all of them. */
import { once } from 'node:events';
import { WebSocket } from 'ws';

/**
 * Opens `count` sockets on one object.
 * @param {number} port
 * @param {string} name
 * @param {number} count
 * @returns {Promise<WebSocket[]>}
 */
export async function openSockets(port, name, count) {
  const sockets = [];
  while (sockets.length < count) {
    const batch = Array.from({ length: Math.min(50, count - sockets.length) }, async () => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/socket/${name}`);
      await once(socket, 'open');
      return socket;
    });
    sockets.push(...(await Promise.all(batch)));
  }
  return sockets;
}

/**
 * One of the sockets says something, all of them get it; again and again.
 * @param {WebSocket[]} sockets
 * @param {number} durationMs
 * @returns {Promise<{ count: number; latenciesMs: Float64Array }>} deliveries; time until the last one
 */
export async function converse(sockets, durationMs) {
  const endMs = performance.now() + durationMs;
  /** @type {number[]} */
  const latencies = [];
  let waiting = 0;
  /** @type {() => void} */
  let done = () => {};
  for (const socket of sockets) {
    socket.removeAllListeners('message');
    socket.on('message', () => {
      if (--waiting === 0) done();
    });
  }
  while (performance.now() < endMs) {
    waiting = sockets.length;
    const startMs = performance.now();
    const all = new Promise((resolve) => {
      done = () => resolve(undefined);
    });
    sockets[0]?.send('a message of a usual length, such as people write');
    await all;
    latencies.push(performance.now() - startMs);
  }
  return {
    count: latencies.length * sockets.length,
    latenciesMs: Float64Array.from(latencies).sort(),
  };
}

/** @param {WebSocket[]} sockets */
export function closeSockets(sockets) {
  for (const socket of sockets) socket.terminate();
}
