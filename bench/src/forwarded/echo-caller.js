/**
 * Makes unary calls over one channel for as long as it is told to, so many at a time, and says how
 * many were answered; and makes one for each HTTP request. Started by bench.js, which talks to it
 * over IPC.
 */
import { createServer } from 'node:http';
import { Client, credentials } from '@grpc/grpc-js';
import { echoPath, identity, messageBytes } from './echo.js';

const client = new Client(`127.0.0.1:${process.argv[2]}`, credentials.createInsecure());
const message = Buffer.alloc(messageBytes, 1);

/** @returns {Promise<void>} */
const call = () =>
  new Promise((resolve, reject) => {
    client.makeUnaryRequest(echoPath, identity, identity, message, (error) =>
      error ? reject(error) : resolve(),
    );
  });

process.on('message', async (/** @type {{ callers: number; ms: number }} */ { callers, ms }) => {
  const endMs = performance.now() + ms;
  let count = 0;
  const caller = async () => {
    for (; performance.now() < endMs; count++) await call();
  };
  await Promise.all(Array.from({ length: callers }, caller));
  process.send?.({ count });
});
process.on('disconnect', () => process.exit());

const edge = createServer((_request, response) => {
  void call().then(() => {
    response.writeHead(200, { 'content-type': 'text/plain', 'content-length': 2 });
    response.end('ok');
  });
});
edge.listen(0, '127.0.0.1', () => {
  const address = edge.address();
  process.send?.({ http: typeof address === 'object' ? address?.port : undefined });
});
