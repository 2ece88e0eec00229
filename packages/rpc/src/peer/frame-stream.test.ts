import { PassThrough } from 'node:stream';
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { afterEach, expect, test } from 'vitest';
import { FrameStream } from './frame-stream.ts';
import { peerLimits } from './limits.ts';
import { channelCredentials, openChannel, peerService, serverOptions } from './transport.ts';

interface End {
  readonly frames: FrameStream;
  readonly heard: string[];
}

const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

function end(stream: ConstructorParameters<typeof FrameStream>[0], onFirst = () => {}): End {
  const heard: string[] = [];
  const frames = new FrameStream(stream, {
    frame: (frame) => {
      if (heard.push(`${frame.length} ${frame.subarray(0, 20)}`) === 1) onFirst();
    },
    broken: (reason) => heard.push(reason),
  });
  return { frames, heard };
}

/** Both ends of a stream, of which the server's answers the first frame with `answers`. */
async function connect(answers: readonly string[]): Promise<{ client: End; server: () => End }> {
  const server = new Server(serverOptions);
  let accepted: End | undefined;
  server.addService(peerService, {
    link: (stream: ServerDuplexStream<Buffer, Buffer>) => {
      const made: End = end(stream, () => {
        for (const answer of answers) stream.write(Buffer.from(answer));
      });
      accepted = made;
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  const channel = openChannel(
    `127.0.0.1:${port}`,
    channelCredentials('insecure'),
    peerLimits(undefined),
  );
  channel.stream.on('error', () => {});
  stops.push(
    () => channel.close(),
    () => server.forceShutdown(),
  );
  const client = end(channel.stream);
  channel.stream.write(Buffer.from('hello'));
  await until(() => client.heard.length === answers.length);
  return {
    client,
    server: () => {
      if (accepted === undefined) throw new Error('no stream came');
      return accepted;
    },
  };
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 1));
}

test('after the first frames both ends pass grpc-js by, and frames keep their order', async () => {
  const { client, server } = await connect(['hello too', 'and', 'more']);
  expect(client.heard).toEqual(['9 hello too', '3 and', '4 more']);
  expect([client.frames.isShort, server().frames.isShort]).toEqual([true, true]);
  const sizes = [1, 4096, 4097, 300_000, 2];
  let taken = 0;
  for (const { frames } of [client, server()]) {
    for (const size of sizes) frames.write(Buffer.alloc(size, 'x'), () => taken++);
  }
  await until(() => client.heard.length === 8 && server().heard.length === 6);
  const whole = sizes.map((size) => `${size} ${'x'.repeat(Math.min(size, 20))}`);
  expect(client.heard.slice(3)).toEqual(whole);
  expect(server().heard).toEqual(['5 hello', ...whole]);
  await until(() => taken === 10);
});

test('a stream that does not show what is under it takes the frames itself', async () => {
  const stream = new PassThrough({ objectMode: true });
  const { frames, heard } = end(stream as never);
  await new Promise<void>((resolve) => frames.write(Buffer.from('first'), resolve));
  await new Promise<void>((resolve) => frames.write(Buffer.from('second'), resolve));
  await until(() => heard.length === 2);
  expect(heard).toEqual(['5 first', '6 second']);
  expect(frames.isShort).toBe(false);
});

test('nothing is written, and nothing taken, after the stream has ended', async () => {
  const { client, server } = await connect(['hello too']);
  let taken = 0;
  stops.splice(0, 1)[0]?.();
  client.frames.write(Buffer.from('late'), () => taken++);
  await new Promise((resolve) => setTimeout(resolve, 20));
  server().frames.write(Buffer.from('late'), () => taken++);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect([taken, client.heard, server().heard]).toEqual([0, ['9 hello too'], ['5 hello']]);
});
