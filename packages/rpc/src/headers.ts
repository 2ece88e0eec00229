/** Headers between the wire and the flat lists of names and values that sessions carry. */
import type { Header } from './generated/homing/v1/objects.ts';

export function flatHeaders(headers: readonly Header[]): string[] {
  return headers.flatMap(({ name, value }) => [name.toLowerCase(), value]);
}

export function wireHeaders(flat: readonly string[]): Header[] {
  const headers: Header[] = [];
  for (let index = 0; index < flat.length; index += 2) {
    headers.push({ name: flat[index] as string, value: flat[index + 1] as string });
  }
  return headers;
}

/** Objects do not care for the host, but a Request needs one. */
export function absoluteUrl(url: string): string {
  return URL.canParse(url) ? url : `http://object${url.startsWith('/') ? '' : '/'}${url}`;
}

/** A request as `EdgeSession.fetch` takes it; `headers` are names and values in turn. */
export function requestParts(
  method: string,
  url: string,
  headers: readonly string[],
  body: Uint8Array | null,
): readonly unknown[] {
  return [method, url, headers, body, '{}', 'manual', null];
}

/** Headers for whoever gets the body as it is: one that was to be encoded on the way out is not. */
export function plainHeaders(response: {
  readonly headers: readonly string[];
  readonly encoded: boolean;
}): string[] {
  const { headers, encoded } = response;
  const isEncoding = (at: number) => headers[at]?.toLowerCase() === 'content-encoding';
  return headers.filter((_, index) => encoded || !isEncoding(index - (index % 2)));
}
