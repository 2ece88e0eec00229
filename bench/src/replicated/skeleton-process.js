/**
 * The least that a replicated increment takes, without the product: this process takes a request
 * over HTTP, adds one to a number in memory, appends a record to its file and to the files of two
 * other processes, and answers when two of the three have it on disk. One of three that are alike;
 * skeleton.js starts them and says over IPC where the others are.
 *
 * Without owners each process has numbers of its own, so a name stands for three of them and no
 * request goes further than the process it came to. With owners (`routed` as the second argument) a
 * name has one number, at the process that its hash chooses; the others forward to it.
 *
 * It batches as homing does: the records of one turn share a message, those that wait for the disk
 * share an fsync, those that got on disk together share an answer, and so do forwarded requests.
 */
import { createServer } from 'node:http';
import { join } from 'node:path';
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { Forwarding, forwardPath, onForwarded } from './forwarding.js';
import { GroupFile } from './group-file.js';

/** About what homing sends to a replica for an increment of the bench’s worker. */
const recordBytes = 128;

const path = '/bench.Skeleton/Append';
const identity = (/** @type {Buffer} */ bytes) => bytes;

const file = await GroupFile.create(join(process.argv[2] ?? '.', 'records'));
/** @type {Map<string, number>} */
const values = new Map();
/** Records that each of the three has on disk; the first is this process. */
const onDisk = [0, 0, 0];
/** Answers that wait for a majority, oldest first. */
/** @type {(() => void)[]} */
let waiting = [];
let answered = 0;
/** @type {import('@grpc/grpc-js').ClientDuplexStream<Buffer, Buffer>[]} */
let followers = [];
/** Records of this turn. */
/** @type {Buffer[]} */
let batch = [];

/**
 * @param {number} of
 * @param {number} count
 */
function acked(of, count) {
  onDisk[of] = count;
  const [, committed = 0] = [...onDisk].sort((a, b) => b - a);
  if (committed === answered) return;
  const ready = waiting.slice(0, committed - answered);
  waiting = waiting.slice(committed - answered);
  answered = committed;
  for (const answer of ready) answer();
}

function flush() {
  const message = Buffer.concat(batch);
  batch = [];
  for (const follower of followers) follower.write(message);
}

let appended = 0;
/**
 * @param {string} name
 * @param {(value: number) => void} answer
 */
function increment(name, answer) {
  const value = (values.get(name) ?? 0) + 1;
  values.set(name, value);
  const record = Buffer.alloc(recordBytes);
  record.write(name);
  record.writeDoubleBE(value, recordBytes - 8);
  const count = ++appended;
  waiting.push(() => answer(value));
  file.append(record, () => acked(0, count));
  batch.push(record);
  if (batch.length === 1) setImmediate(flush);
}

const isRouted = process.argv[3] === 'routed';
/** By process, as all three count them; undefined at the place of this one. */
/** @type {(Forwarding | undefined)[]} */
let owners = [undefined];

/** @param {string} name */
function ownerOf(name) {
  let hash = 0;
  for (let index = 0; index < name.length; index++) hash = (hash * 31 + name.charCodeAt(index)) | 0;
  return owners[(hash >>> 0) % owners.length];
}

const edge = createServer((request, response) => {
  const name = request.url ?? '';
  const answer = (/** @type {number} */ value) => {
    const text = String(value);
    response.writeHead(200, { 'content-type': 'text/plain', 'content-length': text.length });
    response.end(text);
  };
  const owner = ownerOf(name);
  if (owner === undefined) increment(name, answer);
  else owner.send(name, answer);
});

/** @param {import('@grpc/grpc-js').ServerDuplexStream<Buffer, Buffer>} stream */
function follow(stream) {
  let taken = 0;
  let written = 0;
  let told = 0;
  const tell = () => {
    if (told === written) return;
    told = written;
    const answer = Buffer.allocUnsafe(4);
    answer.writeUInt32BE(written);
    stream.write(answer);
  };
  stream.on('data', (message) => {
    taken += message.length / recordBytes;
    const count = taken;
    file.append(message, () => {
      written = count;
      queueMicrotask(tell);
    });
  });
  stream.on('error', () => {});
}

const peers = new Server();
const stream = {
  requestStream: true,
  responseStream: true,
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
};
peers.addService(
  { append: { path, ...stream }, forward: { path: forwardPath, ...stream } },
  {
    append: follow,
    forward: (/** @type {import('@grpc/grpc-js').ServerDuplexStream<Buffer, Buffer>} */ call) =>
      onForwarded(call, increment),
  },
);
peers.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  process.send?.({ port });
});

process.on('message', (/** @type {{ ports: number[]; self: number }} */ { ports, self }) => {
  const clients = ports.map((port, index) =>
    index === self
      ? undefined
      : new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
          'grpc.use_local_subchannel_pool': 1,
        }),
  );
  followers = clients
    .filter((client) => client !== undefined)
    .map((client, index) => {
      const stream = client.makeBidiStreamRequest(path, identity, identity);
      stream.on('data', (answer) => acked(index + 1, answer.readUInt32BE()));
      stream.on('error', () => {});
      return stream;
    });
  if (isRouted) {
    owners = clients.map((client) => {
      if (client === undefined) return undefined;
      return new Forwarding(client.makeBidiStreamRequest(forwardPath, identity, identity));
    });
  }
  edge.listen(0, '127.0.0.1', () => {
    const address = edge.address();
    process.send?.({ http: typeof address === 'object' ? address?.port : undefined });
  });
});
process.on('disconnect', () => process.exit());
