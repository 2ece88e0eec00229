/** What clients asked and heard, in the world's time. Values are unique over a whole run. */

export interface Command {
  /**
   * clear: everything that the object holds goes, but the answers kept for retries; connect: the client
   * is to have a socket, and is told its name.
   */
  readonly kind: 'append' | 'read' | 'cas' | 'clear' | 'connect';
  /** Of `append` and `cas`; 0 for others. */
  readonly value: number;
  /** Of `cas`: the list's last value for it to be appended; 0 stands for an empty list. */
  readonly after?: number | undefined;
  /** Of `append`: also sets the object's alarm, named by the value. */
  readonly alarmMs?: number | undefined;
  /** Of `append`: a retry under the same id returns the first one's answer. */
  readonly request?: string | undefined;
}

export interface Reply {
  /** The whole list, after the command; of `clear`, before it. */
  readonly list: readonly number[];
  /** Whether the value was appended, or the list cleared. */
  readonly isDone: boolean;
  /** Of `connect`. */
  readonly socket?: string | undefined;
}

/** What a client says on a socket; counted from 1. */
export interface SocketFrame {
  readonly frame: number;
  readonly command: Command;
}

/** What the object says to it, as the `count`-th that it says on the socket. */
export interface SocketAnswer {
  readonly count: number;
  readonly frame: number;
  readonly reply: Reply;
}

export interface Operation {
  readonly client: string;
  readonly object: number;
  readonly command: Command;
  readonly startMs: number;
  /** Infinity while it is under way, and for good where its outcome is unknown. */
  endMs: number;
  /** fail: surely not executed. */
  outcome: 'ok' | 'fail' | 'unknown';
  /** An attempt of it may have been executed. */
  isDoubtful?: boolean;
  reply: Reply | undefined;
}

/** A rule that was broken. */
export interface Violation {
  readonly rule: string;
  readonly message: string;
}
