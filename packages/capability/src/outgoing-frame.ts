/**
 * One frame of a session while it is written: its bytes, its values, and what writing them brought
 * about. What most frames do without is made when it is first needed.
 *
 * Invariant: it is ended once, by `take` or by `undo`; its writer is given back then.
 */
import { acquireWriter, releaseWriter, type WireReader, type WireWriter } from '@homing/base';
import { writeLines } from './frames.ts';
import type { HostValueCodec } from './host.ts';
import { PayloadWriter, type References } from './payload.ts';

/** Writes what travels by reference; the session. */
export interface ReferenceSource {
  writeReference(writer: WireWriter, value: object, frame: OutgoingFrame): void;
}

const noLines: readonly number[] = [];

export class OutgoingFrame implements References {
  readonly writer: WireWriter = acquireWriter();
  readonly #source: ReferenceSource;
  readonly #codec: HostValueCodec;
  #payload: PayloadWriter | undefined;
  #made: (() => void)[] | undefined;
  #started: (() => void)[] | undefined;
  #lines: number[] | undefined;

  constructor(source: ReferenceSource, codec: HostValueCodec) {
    this.#source = source;
    this.#codec = codec;
  }

  /** Writes values. A frame in which it was asked for ends with the list of its streams. */
  get payload(): PayloadWriter {
    this.#payload ??= new PayloadWriter(this.writer, this.#codec, this);
    return this.#payload;
  }

  /** As `References`. */
  write(writer: WireWriter, value: object): void {
    this.#source.writeReference(writer, value, this);
  }

  /** As `References`: a frame on its way out is not read. */
  read(_reader: WireReader): never {
    throw new Error('a payload is either read or written');
  }

  /** A reference was made for the frame: `undo` takes it back. */
  made(undo: () => void): void {
    this.#made ??= [];
    this.#made.push(undo);
  }

  /** A stream or signal stands in the frame: `start` begins with it once the frame is sent. */
  announce(kind: number, number: number, start: () => void): void {
    this.#lines ??= [];
    this.#lines.push(kind, number);
    this.#started ??= [];
    this.#started.push(start);
  }

  /** The bytes. Throws for a frame that is too long, as for one with too many streams. */
  take(bytesMax: number): Uint8Array {
    const { writer } = this;
    if (this.#payload !== undefined) writeLines(writer, this.#lines ?? noLines);
    if (writer.length > bytesMax) {
      throw new Error(
        `Serialized RPC arguments or return values are limited to ${bytesMax / 2 ** 20}MiB, but the size of this value was: ${writer.length} bytes.`,
      );
    }
    const bytes = writer.copy();
    releaseWriter(writer);
    return bytes;
  }

  /** The frame is not sent. */
  undo(): void {
    if (this.#made !== undefined) for (const undo of this.#made) undo();
    releaseWriter(this.writer);
  }

  /** The frame is sent. */
  sent(): void {
    if (this.#started !== undefined) for (const start of this.#started) start();
  }
}
