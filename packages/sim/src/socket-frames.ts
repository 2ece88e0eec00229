/** What clients and objects say to each other on sockets, as text. Used by the simulated executor. */
import type { Command, Reply, SocketAnswer, SocketFrame } from './history.ts';

/** What an object says to a frame, as the `count`-th on its socket. */
export function answerOf(count: number, { frame }: SocketFrame, reply: Reply): string {
  const answer: SocketAnswer = { count, frame, reply };
  return JSON.stringify(answer);
}

export function frameOf(data: string | Uint8Array): SocketFrame & { readonly command: Command } {
  return JSON.parse(String(data)) as SocketFrame;
}
