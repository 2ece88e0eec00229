/** RPC sessions between contexts: calls, results, references, streams. */
export { type Callee, type Hook, type Path, PendingCall } from './callee.ts';
export { type EdgeResponse, EdgeSession } from './edge-session.ts';
export type { HostValue, HostValueCodec, SessionHost } from './host.ts';
export { type CapabilityLimits, capabilityLimits } from './limits.ts';
export { makeServiceStub, type ServiceStubOptions } from './service-stub.ts';
export { Session, type SessionOptions } from './session.ts';
export { type CallOptions, OutgoingCall } from './session-calls.ts';
export { makePromise, RpcPromise, RpcProperty, RpcTarget, serviceReference } from './stub.ts';
export { declaredMember, type MainTarget, missingMethod, RpcStub } from './target.ts';
