/**
 * Brings a client's events to the object that its socket belongs to.
 *
 * Invariant: an event that does not reach the object here goes back to the client's node, which brings it
 * to the object's next owner; where nobody knows the socket, or the object takes no more, it is closed.
 *
 * Called by the node.
 */
import {
  type FromExecutor,
  isOverloaded,
  type Logger,
  type ObjectRef,
  type SocketEvent,
} from '@homing/base';
import type { ObjectTable } from './object-table.ts';
import type { PeerLinks } from './peer-links.ts';
import type { SocketTable } from './socket-table.ts';

/** What executors say of sockets. */
export type SocketMessage = Extract<
  FromExecutor,
  {
    type:
      | 'accept-socket'
      | 'export-socket'
      | 'attach-socket'
      | 'socket'
      | 'socket-attachment'
      | 'auto-response';
  }
>;

/** What an event costs besides its bytes. */
const eventBytes = 64;

export function deliverSocketEvent(
  to: {
    readonly objects: ObjectTable;
    readonly links: PeerLinks | undefined;
    readonly sockets: SocketTable;
    readonly logger: Logger;
  },
  object: ObjectRef,
  socket: string,
  event: SocketEvent,
): void {
  const { objects, links, sockets, logger } = to;
  const resend = () => links?.resend(object, socket, event) ?? false;
  objects.deliver(object, 'socket', {
    isForwarded: false,
    bytes: eventBytes + (event.type === 'message' ? event.data.length : 0),
    deliver: ({ executor, number }) => {
      executor.post({ type: 'object-socket', activation: number, socket, event });
    },
    forward: resend,
    left: links && resend,
    refuse: (error) => {
      if (!isOverloaded(error) && resend()) return;
      logger.warn('a socket event found no object', { error: String(error) });
      sockets.close(socket, 1013, 'the object is not available');
    },
  });
}
