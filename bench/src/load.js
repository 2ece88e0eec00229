/**
 * HTTP load over kept-alive connections, with as little work of its own as it can: the machine's
 * time should go to the server. Each connection sends its next request when the answer is there.
 */
import { connect } from 'node:net';

/**
 * @param {{ port: number; connections: number; durationMs: number; request: (index: number) => string }} options
 * @returns {Promise<{ count: number; latenciesMs: Float64Array }>} sorted latencies
 */
export async function load({ port, connections, durationMs, request }) {
  /** @type {number[]} */
  const latencies = [];
  const endMs = performance.now() + durationMs;
  let index = 0;
  await Promise.all(
    Array.from({ length: connections }, () =>
      oneConnection(port, endMs, latencies, () => request(index++)),
    ),
  );
  return { count: latencies.length, latenciesMs: Float64Array.from(latencies).sort() };
}

/**
 * @param {number} port
 * @param {number} endMs
 * @param {number[]} latencies
 * @param {() => string} next
 * @returns {Promise<void>}
 */
function oneConnection(port, endMs, latencies, next) {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let pending = '';
    let sentMs = 0;
    const send = () => {
      sentMs = performance.now();
      if (sentMs >= endMs) {
        socket.destroy();
        resolve();
      } else {
        socket.write(next());
      }
    };
    socket.setEncoding('latin1');
    socket.on('connect', send);
    socket.on('error', reject);
    socket.on('close', () => resolve());
    socket.on('data', (chunk) => {
      pending += chunk;
      const headEnd = pending.indexOf('\r\n\r\n');
      if (headEnd < 0) return;
      if (!pending.startsWith('HTTP/1.1 200')) {
        reject(new Error(`not a 200: ${pending.slice(0, 200)}`));
        socket.destroy();
        return;
      }
      const bodyLength = lengthOf(pending.slice(0, headEnd), pending, headEnd + 4);
      if (bodyLength === undefined || pending.length < headEnd + 4 + bodyLength) return;
      pending = pending.slice(headEnd + 4 + bodyLength);
      latencies.push(performance.now() - sentMs);
      send();
    });
  });
}

/**
 * @param {string} head
 * @param {string} text
 * @param {number} start
 * @returns {number | undefined} length of the body; undefined while a chunked one is not complete
 */
function lengthOf(head, text, start) {
  const match = /content-length: *(\d+)/i.exec(head);
  if (match) return Number(match[1]);
  const end = text.indexOf('0\r\n\r\n', start);
  return end < 0 ? undefined : end + 5 - start;
}
