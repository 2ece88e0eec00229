/**
 * The frames of one link on a stream of grpc-js. Once the handshake is through, they go to the HTTP/2
 * stream under it and come from there: what grpc-js does for each message (filters, promises, a pause
 * and a resume) costs about as much as HTTP/2 itself. On the wire it is the same. How the stream begins
 * and ends stays with grpc-js.
 *
 * The HTTP/2 stream cannot be reached by grpc-js's public interface; should a later release hide it
 * otherwise, frames go the long way.
 *
 * Invariant: frames keep their order, in each direction, also where the way changes: it is taken when
 * nothing is on the other one.
 */
import type { ClientHttp2Stream, ServerHttp2Stream } from 'node:http2';
import type { ClientDuplexStream, ServerDuplexStream } from '@grpc/grpc-js';
import { WireError } from '@homing/base';
import { headBytes, MessageReader, writeHead } from './grpc-messages.ts';
import { frameBytesLimit } from './limits.ts';

type GrpcStream = ClientDuplexStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>;
type Http2Stream = ClientHttp2Stream | ServerHttp2Stream;

/** What grpc-js keeps of a call: a client's and a server's. */
interface Inside {
  readonly http2Stream?: Http2Stream;
  readonly stream?: Http2Stream;
  readonly decoder?: { readonly readState?: number };
  readonly unpushedReadMessages?: readonly unknown[];
  readonly readQueue?: readonly unknown[];
}
interface ClientInside {
  readonly call?: {
    readonly call?: {
      readonly child?: {
        readonly underlyingCalls?: readonly { readonly call?: { readonly child?: Inside } }[];
      };
    };
  };
}
interface ServerInside {
  readonly call?: Inside;
}

/** `decoder.readState`: between two messages. */
const betweenMessages = 0;
/** Up to this length a frame is copied behind its head, which is cheaper than to write it by itself. */
const copiedBytesMax = 4096;

export interface FrameStreamEvents {
  /** A frame came; a handshake first. */
  frame(frame: Buffer): void;
  /** What came is no message of gRPC. */
  broken(reason: string): void;
}

export class FrameStream {
  readonly #stream: GrpcStream;
  readonly #events: FrameStreamEvents;
  #under: Http2Stream | undefined;

  constructor(stream: GrpcStream, events: FrameStreamEvents) {
    this.#stream = stream;
    this.#events = events;
    stream.on('data', (frame: Buffer) => {
      events.frame(frame);
      this.#goUnder();
    });
  }

  /** Frames pass grpc-js by. */
  get isShort(): boolean {
    return this.#under !== undefined;
  }

  /** `onTaken` is not called where the stream ends before. */
  write(frame: Buffer, onTaken: () => void): void {
    const under = this.#under;
    if (under === undefined || this.#stream.writableLength > 0) {
      this.#stream.write(frame, onTaken);
      return;
    }
    if (under.destroyed || under.closed || under.writableEnded) return;
    const done = (error?: Error | null) => {
      if (error === undefined || error === null) onTaken();
    };
    if (frame.length <= copiedBytesMax) {
      const message = Buffer.allocUnsafe(headBytes + frame.length);
      writeHead(message, frame.length);
      frame.copy(message, headBytes);
      under.write(message, done);
      return;
    }
    const head = Buffer.allocUnsafe(headBytes);
    writeHead(head, frame.length);
    under.cork();
    under.write(head);
    under.write(frame, done);
    under.uncork();
  }

  /** Where nothing that came is held by grpc-js; else after a later frame. */
  #goUnder(): void {
    if (this.#under !== undefined || this.#stream.readableLength > 0) return;
    const inside = insideOf(this.#stream);
    const under = inside?.http2Stream ?? inside?.stream;
    const held = inside?.unpushedReadMessages ?? inside?.readQueue;
    if (under === undefined || held === undefined || held.length > 0) return;
    if (inside?.decoder?.readState !== betweenMessages) return;
    const [theirs, ...others] = under.listeners('data') as ((chunk: Buffer) => void)[];
    if (theirs === undefined || others.length > 0) return;
    const reader = new MessageReader(frameBytesLimit);
    const deliver = (frame: Buffer) => this.#events.frame(frame);
    under.off('data', theirs);
    under.on('data', (chunk: Buffer) => {
      try {
        reader.read(chunk, deliver);
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        this.#events.broken(`the peer broke the protocol: ${error.message}`);
      }
    });
    this.#under = under;
  }
}

function insideOf(stream: object): Inside | undefined {
  const { call } = stream as ServerInside;
  if (call?.stream !== undefined) return call;
  return (stream as ClientInside).call?.call?.child?.underlyingCalls?.[0]?.call?.child;
}
