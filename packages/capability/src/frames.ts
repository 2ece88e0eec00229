/** What stands in a frame besides values; see session.ts for what each frame is. */
import { WireError, WireReader, type WireWriter } from '@homing/base';

export const frames = {
  call: 1,
  result: 2,
  forget: 3,
  release: 4,
  chunk: 5,
  end: 6,
  fail: 7,
  credit: 8,
  cancel: 9,
  abort: 10,
} as const;

/** A call has a value only where its flags say so, but always a place for its streams. */
export const framesWithValues: ReadonlySet<number> = new Set([
  frames.call,
  frames.result,
  frames.chunk,
  frames.fail,
  frames.cancel,
  frames.abort,
]);

export const targets = { main: 0, export: 1, result: 2 } as const;
export const callFlags = { args: 1, requestId: 2 } as const;
export const resultFlags = { threw: 1, kept: 2, replayed: 4, own: 8 } as const;
export const referenceKinds = { stub: 0, yours: 1, readable: 2, writable: 3, signal: 4 } as const;

/** A kind and a number. */
const lineBytes = 5;
const linesMax = 255;

/** The streams and signals of a message stand at its end, so that they are found without reading it. */
export function writeLines(writer: WireWriter, lines: readonly number[]): void {
  const count = lines.length / 2;
  if (count > linesMax) throw new RangeError(`A message holds at most ${linesMax} streams.`);
  for (let index = 0; index < count; index++) {
    writer.u8(lines[index * 2] as number);
    writer.u32(lines[index * 2 + 1] as number);
  }
  writer.u8(count);
}

/** Takes them off the end again; undefined where there are none. */
export function takeLines(reader: WireReader): WireReader | undefined {
  const last = reader.end - 1;
  if (last < reader.position) throw new WireError('it ends too early');
  const start = last - (reader.frame[last] as number) * lineBytes;
  if (start < reader.position) throw new WireError('it ends too early');
  reader.end = start;
  return start === last ? undefined : new WireReader(reader.frame, start, last);
}
