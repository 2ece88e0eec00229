/**
 * A Blob that came over a session: its size and type are known at once, its bytes arrive behind it
 * on a stream. They are collected eagerly, so that the blob outlives the call and the sender.
 */
export class RpcBlob extends Blob {
  readonly #size: number;
  readonly #content: Promise<Blob>;

  constructor(type: string, size: number, stream: ReadableStream<Uint8Array>) {
    super([], { type });
    this.#size = size;
    Object.defineProperty(this, 'size', { value: size });
    this.#content = collect(type, size, stream);
    // Whoever reads the blob gets the failure; a blob that nobody reads fails nobody.
    this.#content.catch(() => {});
  }

  override async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.#content).arrayBuffer();
  }

  override async text(): Promise<string> {
    return (await this.#content).text();
  }

  override stream() {
    const content = this.#content;
    let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
    return new ReadableStream<Uint8Array>({
      async pull(controller) {
        reader ??= (await content).stream().getReader() as ReadableStreamDefaultReader<Uint8Array>;
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel(reason) {
        await reader?.cancel(reason);
      },
    }) as ReturnType<Blob['stream']>;
  }

  override slice(start = 0, end = this.#size, type = ''): Blob {
    const from = clamp(start, this.#size);
    const size = Math.max(0, clamp(end, this.#size) - from);
    const content = this.#content;
    const part = new ReadableStream<Uint8Array>({
      async pull(controller) {
        const bytes = await (await content).slice(from, from + size).arrayBuffer();
        if (bytes.byteLength > 0) controller.enqueue(new Uint8Array(bytes));
        controller.close();
      },
    });
    return new RpcBlob(type, size, part);
  }
}

function clamp(offset: number, size: number): number {
  return offset < 0 ? Math.max(size + offset, 0) : Math.min(offset, size);
}

async function collect(
  type: string,
  size: number,
  stream: ReadableStream<Uint8Array>,
): Promise<Blob> {
  const chunks: Uint8Array[] = [];
  let received = 0;
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    received += value.byteLength;
    if (received > size) {
      const error = new RangeError('A Blob received over RPC is longer than it was said to be.');
      await reader.cancel(error);
      throw error;
    }
    chunks.push(value);
  }
  if (received !== size) {
    throw new RangeError('A Blob received over RPC is shorter than it was said to be.');
  }
  return new Blob(chunks as Uint8Array<ArrayBuffer>[], { type });
}
