/**
 * The storage thread: the one place that waits for the disk. It takes append requests off its port,
 * writes them in groups (committer.ts), answers with one message per group, and erases garbage in
 * between (purge.ts). Started by rocks-store.ts, which owns the database.
 *
 * Messages that arrive while a batch is being written wait in the port; the event loop delivers all
 * of them before the next batch is begun, so whatever came during one fsync goes into the next.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { assert, type ErrorData, errorToData, messageOf } from '@homing/base';
import { type CommitLimits, type CommitReport, Committer } from './committer.ts';
import { Watermark, writeDamage } from './directory.ts';
import { discardLeftovers } from './install.ts';
import { isDamage, native } from './native.ts';
import { Purge } from './purge.ts';

export interface StorageThreadData {
  readonly handle: bigint;
  readonly directory: string;
  readonly limits: CommitLimits;
}

export type ToStorageThread =
  | { readonly type: 'append'; readonly requests: Uint8Array<ArrayBuffer> }
  /** Finish what was asked before this, then end. */
  | { readonly type: 'close' };

export type FromStorageThread =
  | { readonly type: 'settled'; readonly report: CommitReport }
  /** What the disk holds is unknown; nothing more will be written or answered. */
  | { readonly type: 'failed'; readonly error: ErrorData };

function run(port: NonNullable<typeof parentPort>, data: StorageThreadData): void {
  const database = native.db_init(data.handle);
  const watermark = new Watermark(data.directory);
  const committer = new Committer(database, watermark, data.limits);
  discardLeftovers(database);
  const purge = new Purge(database, (id) => committer.erased(id));
  let hasGarbage = true;
  let isScheduled = false;
  let isClosing = false;
  let isFailed = false;

  const post = (message: FromStorageThread) => port.postMessage(message);

  const turn = () => {
    isScheduled = false;
    if (isFailed) return;
    try {
      if (committer.hasWork) {
        post({ type: 'settled', report: committer.commit() });
        hasGarbage = committer.takeCleared() || hasGarbage;
      }
      if (hasGarbage && !isClosing) hasGarbage = purge.step();
    } catch (error) {
      isFailed = true;
      // Reading it again, for the next compaction, would fail again: the next start is told.
      if (isDamage(error)) writeDamage(data.directory, messageOf(error));
      post({ type: 'failed', error: errorToData(error) });
    }
    if (isClosing && (isFailed || !committer.hasWork)) end();
    else schedule();
  };

  const schedule = () => {
    if (isScheduled || !(committer.hasWork || hasGarbage || isClosing)) return;
    isScheduled = true;
    setImmediate(turn);
  };

  const end = () => {
    watermark.close();
    port.close();
  };

  port.on('message', (message: ToStorageThread) => {
    if (message.type === 'append') committer.add(message.requests);
    else isClosing = true;
    if (isFailed && isClosing) end();
    else schedule();
  });
  watermark.write(native.db_get_latest_sequence(database));
  schedule();
}

assert(parentPort !== null, 'the storage thread must be started as a worker');
run(parentPort, workerData as StorageThreadData);
