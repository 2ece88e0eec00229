/** `crypto.DigestStream`: a sink for bytes that knows their digest once it is closed. */
import { createHash } from 'node:crypto';
import { asBytes } from './body.ts';

const hashes: Readonly<Record<string, string>> = {
  'SHA-1': 'sha1',
  'SHA-256': 'sha256',
  'SHA-384': 'sha384',
  'SHA-512': 'sha512',
  MD5: 'md5',
};

export class DigestStream extends WritableStream<unknown> {
  /** Resolves when the stream is closed; rejects with the reason where it is aborted. */
  readonly digest: Promise<ArrayBuffer>;
  readonly #written: { bytes: number };

  constructor(algorithm: string | { readonly name: string }) {
    const name = `${typeof algorithm === 'string' ? algorithm : algorithm.name}`.toUpperCase();
    const known = hashes[name];
    if (known === undefined) {
      throw new DOMException(
        `Unrecognized or unimplemented digest algorithm requested.`,
        'NotSupportedError',
      );
    }
    const hash = createHash(known);
    const written = { bytes: 0 };
    let resolve: (digest: ArrayBuffer) => void = () => {};
    let reject: (reason: unknown) => void = () => {};
    const digest = new Promise<ArrayBuffer>((fulfil, refuse) => {
      resolve = fulfil;
      reject = refuse;
    });
    // Whoever does not ask for the digest is not told that there is none.
    digest.catch(() => {});
    super({
      write: (chunk) => {
        const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : asBytes(chunk);
        if (bytes === undefined) {
          const error = new TypeError(
            'DigestStream is a byte stream but received an object of non-ArrayBuffer/ArrayBufferView/string type on its writable side.',
          );
          reject(error);
          throw error;
        }
        written.bytes += bytes.byteLength;
        hash.update(bytes);
      },
      close: () => resolve(new Uint8Array(hash.digest()).buffer),
      abort: (reason) => reject(reason),
    });
    this.digest = digest;
    this.#written = written;
  }

  get bytesWritten(): bigint {
    return BigInt(this.#written.bytes);
  }
}
