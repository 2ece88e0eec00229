/**
 * How V8 is to collect young objects here. A request leaves much garbage and few survivors, on
 * several threads of one process, each with a heap of its own:
 *
 * - not in parallel: helper threads that share so little work take processor time from the threads
 *   that have some, a fifth of all where processors are scarce;
 * - in larger halves than V8's 1 to 16 MiB: what is under way when a half is full is copied, so the
 *   fewer times the better.
 *
 * Threads started later take all of it; the main thread takes the sizes only as flags of its process.
 */
import { setFlagsFromString } from 'node:v8';

export const heapFlags: readonly string[] = [
  '--no-parallel-scavenge',
  '--min-semi-space-size=16',
  '--max-semi-space-size=32',
];

/** Call before any thread is started. */
export function setHeapFlags(): void {
  for (const flag of heapFlags) setFlagsFromString(flag);
}
