/**
 * Events of hibernatable sockets that wait until their object takes more: many come at once when a link
 * that was broken stands again, and none may be left out while the socket stays open.
 *
 * Invariants: events are taken in the order in which they came. Past the bound the socket whose event
 * has no room is cut off: nothing of it is taken any more but its close.
 *
 * Used by `Actor`.
 */
import type { SocketEvent } from '@homing/base';

export interface SocketQueueOptions {
  readonly bytesMax: number;
  /** Whether the object takes no more for now; `more` is to be called when it does. */
  readonly isFull: () => boolean;
  readonly take: (socket: string, event: SocketEvent) => void;
  /** Closes the socket of a client that sends more than the object takes. */
  readonly cut: (socket: string) => void;
}

interface Waiting {
  readonly socket: string;
  readonly event: SocketEvent;
}

/** What an event costs besides its bytes. */
const eventBytes = 64;

function bytesOf(event: SocketEvent): number {
  return eventBytes + (event.type === 'message' ? event.data.length : 0);
}

export class SocketQueue {
  readonly #options: SocketQueueOptions;
  #waiting: Waiting[] = [];
  #next = 0;
  #bytes = 0;
  readonly #cut = new Set<string>();
  #isTaking = false;

  constructor(options: SocketQueueOptions) {
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#next === this.#waiting.length;
  }

  push(socket: string, event: SocketEvent): void {
    const { bytesMax, cut } = this.#options;
    const isClose = event.type === 'close';
    if (this.#cut.has(socket) && !isClose) return;
    const bytes = bytesOf(event);
    if (this.#bytes + bytes > bytesMax && !isClose) {
      this.#cut.add(socket);
      cut(socket);
      return;
    }
    if (isClose) this.#cut.delete(socket);
    this.#waiting.push({ socket, event });
    this.#bytes += bytes;
    this.more();
  }

  /** The object may take more. */
  more(): void {
    const { isFull, take } = this.#options;
    // What is taken may call back.
    if (this.#isTaking) return;
    this.#isTaking = true;
    while (!this.isEmpty && !isFull()) {
      const { socket, event } = this.#waiting[this.#next] as Waiting;
      this.#next += 1;
      this.#bytes -= bytesOf(event);
      take(socket, event);
    }
    if (this.isEmpty) {
      this.#waiting = [];
      this.#next = 0;
    }
    this.#isTaking = false;
  }
}
