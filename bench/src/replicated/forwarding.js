/**
 * Requests of the skeleton that are another process's to answer, over one stream, those of one turn
 * in one message, and so their answers. A request is its number (4 bytes), the length of its name (2)
 * and the name; an answer the number and the value (8).
 */

export const forwardPath = '/bench.Skeleton/Forward';

const numberBytes = 4;
const lengthBytes = 2;
const answerBytes = numberBytes + 8;

/** Writes what is pushed in one turn as one message. */
class Turn {
  /** @type {{ write(message: Buffer): unknown }} */
  #stream;
  /** @type {Buffer[]} */
  #parts = [];

  /** @param {{ write(message: Buffer): unknown }} stream */
  constructor(stream) {
    this.#stream = stream;
  }

  /** @param {Buffer} part */
  push(part) {
    if (this.#parts.push(part) > 1) return;
    setImmediate(() => {
      this.#stream.write(Buffer.concat(this.#parts));
      this.#parts = [];
    });
  }
}

export class Forwarding {
  /** @type {Turn} */
  #turn;
  /** @type {Map<number, (value: number) => void>} */
  #waiting = new Map();
  #next = 0;

  /** @param {import('@grpc/grpc-js').ClientDuplexStream<Buffer, Buffer>} stream */
  constructor(stream) {
    this.#turn = new Turn(stream);
    stream.on('error', () => {});
    stream.on('data', (/** @type {Buffer} */ message) => {
      for (let at = 0; at < message.length; at += answerBytes) {
        const number = message.readUInt32BE(at);
        const answer = this.#waiting.get(number);
        this.#waiting.delete(number);
        answer?.(message.readDoubleBE(at + numberBytes));
      }
    });
  }

  /**
   * @param {string} name
   * @param {(value: number) => void} answer
   */
  send(name, answer) {
    const number = this.#next++ >>> 0;
    this.#waiting.set(number, answer);
    const head = numberBytes + lengthBytes;
    const request = Buffer.allocUnsafe(head + name.length);
    request.writeUInt32BE(number);
    request.writeUInt16BE(name.length, numberBytes);
    request.latin1Write(name, head);
    this.#turn.push(request);
  }
}

/**
 * @param {import('@grpc/grpc-js').ServerDuplexStream<Buffer, Buffer>} stream
 * @param {(name: string, answer: (value: number) => void) => void} increment
 */
export function onForwarded(stream, increment) {
  const turn = new Turn(stream);
  stream.on('error', () => {});
  stream.on('data', (/** @type {Buffer} */ message) => {
    for (let at = 0; at < message.length; ) {
      const number = message.readUInt32BE(at);
      const start = at + numberBytes + lengthBytes;
      at = start + message.readUInt16BE(at + numberBytes);
      increment(message.latin1Slice(start, at), (value) => {
        const answer = Buffer.allocUnsafe(answerBytes);
        answer.writeUInt32BE(number);
        answer.writeDoubleBE(value, numberBytes);
        turn.push(answer);
      });
    }
  });
}
