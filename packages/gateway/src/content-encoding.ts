/**
 * Bodies in the `content-encoding` that their response names. User code writes them plain, as on the
 * platform, unless it says `encodeBody: 'manual'`. What is written is sent at once, not held back for
 * a better ratio: a stream of events is one.
 */
import type { Transform } from 'node:stream';
import { constants, createBrotliCompress, createGzip } from 'node:zlib';
import type { EdgeResponse } from '@homing/capability';

const encoders: Readonly<Record<string, () => Transform>> = {
  gzip: () => createGzip({ flush: constants.Z_SYNC_FLUSH }),
  br: () => createBrotliCompress({ flush: constants.BROTLI_OPERATION_FLUSH }),
};

/** What the body is to pass through, or undefined where it goes out as it is. */
export function encoderOf(response: EdgeResponse): (() => Transform) | undefined {
  if (response.encoded || response.body === null) return undefined;
  const { headers } = response;
  for (let index = 0; index < headers.length; index += 2) {
    if (headers[index]?.toLowerCase() === 'content-encoding') {
      return encoders[headers[index + 1]?.trim().toLowerCase() ?? ''];
    }
  }
  return undefined;
}
