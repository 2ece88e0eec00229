/** A dispatcher whose other end is a table of methods in this process. */
import type { Dispatcher, FrameSink, Logger, SocketPort, SocketSink, Target } from '@homing/base';
import { HomingError } from '@homing/base';
import { Session } from '@homing/capability';

export class Parts {
  readonly kind: string;
  readonly parts: readonly unknown[];

  constructor(kind: string, parts: readonly unknown[]) {
    this.kind = kind;
    this.parts = parts;
  }
}

export interface FakeSocket {
  sink: SocketSink | undefined;
  readonly events: string[];
  changed: () => void;
  onMessage: (data: string | Uint8Array) => void;
}

type Method = (...args: never[]) => unknown;

export class FakeWorker implements Dispatcher {
  readonly methods: Record<string, Method> = {};
  readonly targets: Target[] = [];
  readonly sockets = new Map<string, FakeSocket>();
  /** Sessions that the caller closed. */
  closed = 0;
  refusal: unknown;

  open(target: Target, sink: FrameSink) {
    this.targets.push(target);
    const session = new Session({
      host: {
        send: (frame) => void setImmediate(() => sink.frame(frame)),
        scope: () => undefined,
        enter: (_kind, _scope, run) => void setImmediate(run),
        disassemble: (value) => (value instanceof Parts ? value : undefined),
        assemble: (value) => new Parts(value.kind, value.parts),
      },
      main: {
        call: (name, args) => {
          const method = this.methods[name];
          if (method === undefined) throw new TypeError(`no method ${name}`);
          return method(...(args as never[]));
        },
        get: () => undefined,
      },
    });
    return {
      send: (frame: Uint8Array) => {
        if (this.refusal !== undefined) setImmediate(() => sink.closed(this.refusal));
        else setImmediate(() => session.receive(frame));
      },
      close: () => {
        this.closed++;
        setImmediate(() => session.close(new Error('closed by the caller')));
      },
    };
  }

  addSocket(name: string): FakeSocket {
    const socket: FakeSocket = {
      sink: undefined,
      events: [],
      changed: () => {},
      onMessage: () => {},
    };
    this.sockets.set(name, socket);
    return socket;
  }

  attach(name: string, sink: SocketSink): SocketPort {
    const socket = this.sockets.get(name);
    if (socket === undefined) throw new HomingError('not_found', 'no such socket');
    socket.sink = sink;
    return {
      message: (data) => {
        socket.events.push(typeof data === 'string' ? data : `bytes ${data.join(' ')}`);
        socket.onMessage(data);
        socket.changed();
      },
      closed: (code, reason, wasClean) => {
        socket.events.push(`closed ${code} ${reason} ${wasClean}`);
        socket.changed();
      },
    };
  }
}

export const quiet: Logger = {
  error: () => {},
  warn: () => {},
  info: () => {},
  debug: () => {},
  child: () => quiet,
};
