/** The globals that worker code sees beyond Node's. */
export { compatibility, setCompatibility } from './compatibility.ts';
export { fetch } from './fetch.ts';
export { installGlobals } from './globals.ts';
export { Headers, type HeadersInit } from './headers.ts';
export { Request, type RequestParts, requestFromParts, requestParts } from './request.ts';
export { WebSocketRequestResponsePair } from './request-response-pair.ts';
export {
  answeredResponse,
  Response,
  type ResponseParts,
  responseFromParts,
  responseParts,
} from './response.ts';
export { CloseEvent, ErrorEvent } from './socket-events.ts';
export { installSocketTransport, type SocketTransport } from './socket-transport.ts';
export { FixedLengthStream, IdentityTransformStream } from './streams.ts';
export {
  acceptHibernatable,
  closeReason,
  hibernatableSocketId,
  restoredSocket,
  socketClosed,
  socketClosing,
  WebSocket,
  WebSocketPair,
} from './web-socket.ts';
