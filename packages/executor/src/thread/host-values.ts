/** How values that only an executor knows travel between contexts: see `HostValueCodec`. */
import { DurableObjectId } from '@homing/actor';
import { HomingError, type ObjectIdHex, type ObjectRef } from '@homing/base';
import type { HostValue, HostValueCodec } from '@homing/capability';
import {
  Headers,
  Request,
  type RequestParts,
  Response,
  type ResponseParts,
  requestFromParts,
  requestParts,
  responseFromParts,
  responseParts,
} from '@homing/web';
import { jurisdictionOf } from './namespaces.ts';
import { objectStub, referenceOf, type StubConnector, serviceStub } from './stubs.ts';

export class HostValues implements HostValueCodec {
  readonly #connector: () => StubConnector;

  constructor(connector: () => StubConnector) {
    this.#connector = connector;
  }

  disassemble(value: object): HostValue | undefined {
    if (value instanceof Request) return { kind: 'request', parts: requestParts(value) };
    if (value instanceof Response) return { kind: 'response', parts: responseParts(value) };
    if (value instanceof Headers) return { kind: 'headers', parts: [[...value].flat()] };
    const reference = referenceOf(value);
    if (reference === undefined) return undefined;
    if (reference.kind === 'service') {
      const { entrypoint, props } = reference.service;
      return { kind: 'service', parts: [entrypoint, props] };
    }
    const { namespace, id, name } = reference.object;
    return { kind: 'object', parts: [namespace, id, name ?? null] };
  }

  assemble({ kind, parts }: HostValue): unknown {
    switch (kind) {
      case 'request':
        return requestFromParts(parts as unknown as RequestParts);
      case 'response':
        return responseFromParts(parts as unknown as ResponseParts);
      case 'headers':
        return new Headers(pairs(parts[0] as string[]));
      case 'object':
        return this.#object(parts);
      case 'service': {
        const [entrypoint, props] = parts;
        return serviceStub(this.#connector(), { entrypoint: entrypoint as string, props });
      }
      default:
        throw new HomingError('invalid_argument', `a value of the unknown kind ${kind}`);
    }
  }

  #object(parts: readonly unknown[]): object {
    const [namespace, hex, given] = parts as [string, ObjectIdHex, string | null];
    const name = given ?? undefined;
    const object: ObjectRef = { namespace, id: hex, name };
    const id = new DurableObjectId({ id: hex, name, jurisdiction: jurisdictionOf(hex) });
    return objectStub(this.#connector(), object, id);
  }
}

function pairs(flat: readonly string[]): [string, string][] {
  const list: [string, string][] = [];
  for (let index = 0; index + 1 < flat.length; index += 2) {
    list.push([flat[index] as string, flat[index + 1] as string]);
  }
  return list;
}
