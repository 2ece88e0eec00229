/**
 * Clients' sockets as clients see them, and what came of the frames in the end.
 *
 * A client's frames are appends; the object answers each on the socket, once it is durable, numbered by a
 * count that it keeps with the socket. What is held against a run, of each socket:
 * - frames took effect in the order sent, each once;
 * - what came back is numbered without a gap or a repetition, so what is kept with the socket followed it;
 * - a frame that took no effect, or an answer that did not come, was lost to an *interruption*: a process,
 *   an executor or a session ended meanwhile, or the object was reset. Frames behind which the cluster
 *   closed the socket may be missing, too, but none before one that is there;
 * - the cluster closes a socket with no other code than those for an object that cannot be reached.
 *
 * Used by the sockets' clients, and asked in the end.
 */
import type { Operation } from './history.ts';

interface Frame {
  readonly operation: Operation;
  readonly number: number;
}

export interface SeenSocket {
  readonly name: string;
  readonly object: number;
  readonly frames: Frame[];
  /** Answers that came. */
  answers: number;
  /** When the frame was sent that the last answer is to. */
  answeredMs: number;
  /** gone: its node died, or the cluster closed it. */
  end: 'open' | 'closed' | 'gone';
  endMs: number;
}

/** The object cannot be reached, or more was said than may wait; the socket was gone before it was attached. */
const codes: ReadonlySet<number | undefined> = new Set([1013, 1011]);
/** What is interrupted may show, or be noticed, so much later, beside the time that a link takes to break. */
const slackMs = 1000;

export class SocketChecks {
  readonly #broken: (rule: string, message: string) => void;
  readonly #breakMs: number;
  readonly #sockets: SeenSocket[] = [];
  /** When, and of which object; undefined for all. */
  readonly #interruptions: { readonly atMs: number; readonly object: number | undefined }[] = [];

  /** `breakMs`: how long a link may stand whose other end is gone, and take what is lost. */
  constructor(broken: (rule: string, message: string) => void, breakMs: number) {
    this.#broken = broken;
    this.#breakMs = breakMs;
  }

  /** Frames sent and answered, and sockets that ended without their clients. */
  get counts(): { readonly sent: number; readonly answered: number; readonly dropped: number } {
    const all = this.#sockets;
    return {
      sent: all.reduce((sum, { frames }) => sum + frames.length, 0),
      answered: all.reduce((sum, { answers }) => sum + answers, 0),
      dropped: all.filter(({ end }) => end === 'gone').length,
    };
  }

  opened(name: string, object: number, nowMs: number): SeenSocket {
    const socket: SeenSocket = {
      name,
      object,
      frames: [],
      answers: 0,
      answeredMs: nowMs,
      end: 'open',
      endMs: Number.POSITIVE_INFINITY,
    };
    this.#sockets.push(socket);
    return socket;
  }

  interrupted(atMs: number, object?: number): void {
    const last = this.#interruptions.at(-1);
    if (last?.atMs !== atMs || last.object !== object) this.#interruptions.push({ atMs, object });
  }

  /** The `count`-th answer of the object. */
  answered(socket: SeenSocket, count: number, frame: number, nowMs: number): void {
    const { name, object, answers, answeredMs } = socket;
    const sent = socket.frames[frame - 1];
    if (sent === undefined) {
      this.#broken('socket', `${name}: an answer to frame ${frame}, which was not sent`);
      return;
    }
    if (count <= answers) {
      this.#broken('socket', `${name}: answer ${count} came after answer ${answers}`);
    } else if (count > answers + 1 && !this.#isExcused(object, answeredMs, nowMs)) {
      this.#broken('socket', `${name}: answer ${count} came after answer ${answers}, none between`);
    }
    socket.answers = Math.max(answers, count);
    socket.answeredMs = sent.operation.startMs;
  }

  /** The cluster closed it. */
  ended(socket: SeenSocket, code: number | undefined, nowMs: number): void {
    if (!codes.has(code)) this.#broken('socket', `${socket.name} was closed with ${code}`);
    this.over(socket, 'gone', nowMs);
  }

  over(socket: SeenSocket, end: 'closed' | 'gone', nowMs: number): void {
    if (socket.end !== 'open') return;
    socket.end = end;
    socket.endMs = nowMs;
  }

  /** Once all is at rest: `list` is what the object holds. */
  check(object: number, list: readonly number[], nowMs: number): void {
    const places = new Map(list.map((value, index) => [value, index]));
    for (const socket of this.#sockets) {
      if (socket.object === object) this.#checkOne(socket, places, nowMs);
    }
  }

  #checkOne(socket: SeenSocket, places: ReadonlyMap<number, number>, nowMs: number): void {
    let last = -1;
    let lost: Frame[] = [];
    const demand = (untilMs: number) => {
      for (const { number, operation } of lost) {
        if (this.#isExcused(socket.object, operation.startMs, untilMs)) continue;
        this.#broken('socket', `${socket.name}: frame ${number} was lost`);
      }
      lost = [];
    };
    for (const frame of socket.frames) {
      const place = places.get(frame.operation.command.value);
      if (place === undefined) {
        lost.push(frame);
        continue;
      }
      if (place < last) {
        this.#broken('socket', `${socket.name}: frame ${frame.number} overtook others`);
      }
      last = Math.max(last, place);
      demand(Math.min(frame.operation.endMs, nowMs));
    }
    // The rest of what was sent to a socket that the cluster gave up.
    if (socket.end !== 'gone') demand(nowMs);
  }

  #isExcused(object: number, fromMs: number, untilMs: number): boolean {
    return this.#interruptions.some(
      (one) =>
        (one.object === undefined || one.object === object) &&
        one.atMs >= fromMs - this.#breakMs - slackMs &&
        one.atMs <= untilMs + slackMs,
    );
  }
}
