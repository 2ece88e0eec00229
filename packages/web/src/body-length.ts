/** How many bytes a stream will give, where whoever made it said so: a length that a client is told. */
const lengths = new WeakMap<ReadableStream, number>();

export function expectBytes(stream: ReadableStream, bytes: number): void {
  lengths.set(stream, bytes);
}

export function expectedBytes(stream: ReadableStream): number | undefined {
  return lengths.get(stream);
}
