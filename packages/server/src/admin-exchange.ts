/**
 * One question to a node's admin port, and its answer. Waits for as long as the node takes: to move a large
 * object may be a matter of many minutes, after five of which `fetch` gives up.
 *
 * Used by commands, and by a node that passes one on to the object's owner.
 */
import { type ClientRequest, request as overHttp } from 'node:http';
import { request as overHttps } from 'node:https';
import { text } from 'node:stream/consumers';

/** Posts what there is of a body. Rejects where nobody answers. */
export function exchange(url: URL, body?: object): Promise<{ status: number; answered: string }> {
  return new Promise((resolve, reject) => {
    const headers = body && { 'content-type': 'application/json' };
    const options = { method: body ? 'POST' : 'GET', headers };
    const asked: ClientRequest = (url.protocol === 'https:' ? overHttps : overHttp)(url, options);
    asked.on('error', reject);
    asked.on('response', (response) => {
      text(response).then(
        (answered) => resolve({ status: response.statusCode ?? 0, answered }),
        reject,
      );
    });
    asked.end(body && JSON.stringify(body));
  });
}
