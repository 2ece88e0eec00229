/**
 * One watch stream: reports events until it ends, and ends exactly once. Anything but a plain event (a
 * cancelled watch, history compacted away, a closed stream) is an end; the mirror begins anew.
 */
import type { IDuplexStream, IWatchRequest, IWatchResponse } from 'etcd3';
import { type KeyValue, prefixRange, readKeyValue } from './transaction.ts';

export type WatchEvent =
  | { readonly type: 'put'; readonly kv: KeyValue }
  | { readonly type: 'delete'; readonly key: string; readonly revision: bigint };

export interface WatchHandler {
  events(events: readonly WatchEvent[], clusterId: string): void;
  /** Last, once. */
  end(reason: string): void;
}

export interface WatchHandle {
  cancel(reason: string): void;
}

export function openWatch(
  stream: IDuplexStream<IWatchRequest, IWatchResponse>,
  prefixes: readonly string[],
  revision: bigint,
  handler: WatchHandler,
): WatchHandle {
  let ended = false;
  const end = (reason: string) => {
    if (ended) return;
    ended = true;
    stream.cancel();
    handler.end(reason);
  };
  stream.on('error', (error) => end(error.message));
  stream.on('end', () => end('etcd closed the stream'));
  stream.on('data', (response) => {
    if (ended) return;
    if (response.canceled) {
      end(`etcd cancelled the watch: ${response.cancel_reason}`);
      return;
    }
    if (response.events.length === 0) return;
    handler.events(response.events.map(readEvent), response.header.cluster_id);
  });
  for (const prefix of prefixes) {
    stream.write({
      create_request: { ...prefixRange(prefix), start_revision: String(revision) },
    });
  }
  return { cancel: end };
}

function readEvent(event: IWatchResponse['events'][number]): WatchEvent {
  const kv = readKeyValue(event.kv);
  if (event.type === 'Put') return { type: 'put', kv };
  return { type: 'delete', key: kv.key, revision: kv.modRevision };
}
