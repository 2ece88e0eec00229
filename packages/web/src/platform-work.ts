/**
 * Marks what the platform does for itself while user code is loaded, as Node's HTTP client, which
 * shares its connections among contexts: the timers that it sets by the global functions are Node's
 * own, and neither enter a context nor end with one.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

const isPlatform = new AsyncLocalStorage<boolean>();

/** Whether the caller is the platform. */
export function onPlatform(): boolean {
  return isPlatform.getStore() === true;
}

/** Runs `run`, and what it starts, as the platform. */
export function asPlatform<T>(run: () => T): T {
  return isPlatform.run(true, run);
}

/** Within the platform's work: runs `run` as user code again. */
export function asUser<T>(run: () => T): T {
  return isPlatform.run(false, run);
}
