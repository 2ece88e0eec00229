import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ownerOfPort } from '../src/port-owner.ts';
import { TcpProxy } from '../src/tcp-proxy.ts';

let server: Server;
let proxy: TcpProxy;
let port: number;
let accepted: Socket[];
const clients: Socket[] = [];
/** What the next connections are said to come from. */
let source: string | undefined;

beforeEach(async () => {
  accepted = [];
  source = undefined;
  server = createServer((socket) => {
    accepted.push(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk) => socket.write(`<${chunk}>`));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const targetPort = (server.address() as AddressInfo).port;
  proxy = new TcpProxy({ targetPort, sourceOf: () => source });
  port = await proxy.listen();
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await proxy.close();
  server.close();
});

function opened(): Socket {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.setEncoding('utf8');
  clients.push(socket);
  return socket;
}

async function dial(): Promise<Socket> {
  const socket = opened();
  await once(socket, 'connect');
  return socket;
}

/** Unlike `once`, also where an error comes before. */
function closed(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.once('close', resolve));
}

async function say(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  const [answer] = (await once(socket, 'data')) as [string];
  return answer;
}

/** True if nothing comes in a while. */
async function isSilent(socket: Socket): Promise<boolean> {
  let got = false;
  const note = () => {
    got = true;
  };
  socket.once('data', note);
  await new Promise((resolve) => setTimeout(resolve, 60));
  socket.off('data', note);
  return !got;
}

test('forwards both ways, and ends', async () => {
  const socket = await dial();
  expect(await say(socket, 'a')).toBe('<a>');
  socket.end();
  await closed(socket);
});

test('a large transfer arrives whole', async () => {
  const socket = await dial();
  const bytes = 8 << 20;
  let received = 0;
  socket.on('data', (chunk: string) => {
    received += chunk.replace(/[<>]/g, '').length;
    if (received === bytes) socket.end();
  });
  socket.write('x'.repeat(bytes));
  await closed(socket);
  expect(received).toBe(bytes);
});

test('a cut resets connections, old and new', async () => {
  const socket = await dial();
  await say(socket, 'a');
  proxy.set({ cut: true });
  await closed(socket);
  await closed(opened());
  proxy.heal();
  expect(await say(await dial(), 'b')).toBe('<b>');
});

test('a black hole takes bytes and gives them when it is over', async () => {
  const socket = await dial();
  await say(socket, 'a');
  proxy.set({ holdToTarget: true, holdToClient: true });
  socket.write('b');
  expect(await isSilent(socket)).toBe(true);
  const second = await dial();
  second.write('c');
  expect(await isSilent(second)).toBe(true);
  expect(accepted).toHaveLength(1);
  const first = once(socket, 'data');
  const other = once(second, 'data');
  proxy.heal();
  expect(await first).toEqual(['<b>']);
  expect(await other).toEqual(['<c>']);
});

test('one way alone', async () => {
  const socket = await dial();
  await say(socket, 'a');
  const target = accepted[0] as Socket;
  proxy.set({ holdToClient: true });
  const heard = once(target, 'data');
  socket.write('b');
  expect(String(await heard)).toBe('b');
  expect(await isSilent(socket)).toBe(true);
  const late = once(socket, 'data');
  proxy.set({ holdToTarget: true });
  expect(await late).toEqual(['<b>']);
  socket.write('c');
  expect(await isSilent(socket)).toBe(true);
});

test('a death in a black hole is not heard of', async () => {
  const socket = await dial();
  await say(socket, 'a');
  proxy.set({ holdToTarget: true, holdToClient: true });
  accepted[0]?.resetAndDestroy();
  await isSilent(socket);
  expect(socket.destroyed).toBe(false);
  const ended = closed(socket);
  proxy.heal();
  await ended;
});

test('a client that leaves while it waits in a black hole leaves nothing behind', async () => {
  proxy.set({ holdToTarget: true });
  const socket = await dial();
  socket.resetAndDestroy();
  const [late] = await Promise.all([once(server, 'connection'), proxy.heal()]);
  await closed(late[0] as Socket);
});

test('a delay keeps the order', async () => {
  const socket = await dial();
  proxy.set({ delayMs: 20 });
  socket.write('a');
  setTimeout(() => socket.write('b'), 5);
  let text = '';
  while (text !== '<a><b>' && text !== '<ab>')
    text += ((await once(socket, 'data')) as [string])[0];
});

test('rules by source', async () => {
  source = 'n1';
  const one = await dial();
  await say(one, 'a');
  source = 'n2';
  const two = await dial();
  await say(two, 'a');
  proxy.set({ holdToTarget: true }, 'n1');
  expect(await say(two, 'b')).toBe('<b>');
  one.write('b');
  expect(await isSilent(one)).toBe(true);
});

test.skipIf(process.platform !== 'linux')('who connects is known by its port (Linux)', async () => {
  const socket = await dial();
  expect(ownerOfPort(socket.localPort as number, [1, process.pid])).toBe(process.pid);
  expect(ownerOfPort(socket.localPort as number, [])).toBeUndefined();
  expect(ownerOfPort(1, [process.pid])).toBeUndefined();
});
