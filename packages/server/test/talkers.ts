/** Clients of the echo fixture, who see whether a frame was lost, doubled or overtaken on the way. */
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';

interface Answer {
  readonly tag: string;
  readonly number: number;
  /** Where the object did not expect the frame: the last one that it had heard. */
  readonly after?: number;
}

export class Talker {
  readonly #socket: WebSocket;
  readonly #tag: string;
  readonly trouble: string[] = [];
  sent = 0;
  heard = 0;

  constructor(host: string, name: string, tag: string) {
    this.#tag = tag;
    this.#socket = new WebSocket(`ws://${host}/${name}?tag=${tag}`);
    this.#socket.on('message', (data) => this.#onAnswer(JSON.parse(String(data)) as Answer));
    this.#socket.on('error', (error) => this.trouble.push(`${tag}: ${error.message}`));
    this.#socket.on('close', (code, reason) => {
      this.trouble.push(`${tag}: closed with ${code} ${String(reason)}`);
    });
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  talk(): void {
    this.#socket.send(String(++this.sent));
  }

  end(): void {
    this.#socket.terminate();
  }

  #onAnswer({ tag, number, after }: Answer): void {
    if (tag !== this.#tag) this.trouble.push(`${this.#tag}: an answer for ${tag}`);
    if (after !== undefined) this.trouble.push(`${tag}: the object had ${number} after ${after}`);
    if (number !== this.heard + 1) this.trouble.push(`${tag}: heard ${number} after ${this.heard}`);
    this.heard = number;
  }
}

export async function until(isDone: () => boolean, what: string): Promise<void> {
  const untilMs = Date.now() + 60_000;
  while (!isDone()) {
    if (Date.now() > untilMs) throw new Error(`still not: ${what}`);
    await sleep(50);
  }
}

/** All talk, spread over the time, so that frames are under way at every moment. */
export async function talk(
  talkers: readonly Talker[],
  { everyMs, isOver }: { readonly everyMs: number; readonly isOver: () => boolean },
): Promise<void> {
  const parts = Math.min(50, talkers.length);
  for (let part = 0; !isOver(); part = (part + 1) % parts) {
    for (let number = part; number < talkers.length; number += parts) talkers[number]?.talk();
    await sleep(everyMs / parts);
  }
}

/** What went wrong, once all is answered or is not going to be. Ends the sockets. */
export async function troubleOf(talkers: readonly Talker[]): Promise<string[]> {
  const isAnswered = () => talkers.every(({ sent, heard }) => heard >= sent);
  await until(isAnswered, 'all is answered').catch(() => {});
  const trouble = talkers.flatMap((talker) => [
    ...talker.trouble,
    ...(talker.heard === talker.sent ? [] : [`heard ${talker.heard} of ${talker.sent}`]),
  ]);
  for (const talker of talkers) talker.end();
  return trouble;
}
