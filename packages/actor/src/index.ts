/** One activation of an object: gates, storage, alarms, hibernatable sockets, `ctx`. */
export { Actor } from './actor.ts';
export { DurableObjectId, namespaceOfId, setNamespaceOfId } from './durable-object-id.ts';
export { type ActivationSpec, type ActorHost, type ActorLimits, actorLimits } from './host.ts';
