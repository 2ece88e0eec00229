/** Errors as gRPC status, with google.rpc.Status in the trailer `grpc-status-details-bin`. */
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { type ErrorCode, type Executed, isHomingError } from '@homing/base';

const statuses = {
  invalid_argument: status.INVALID_ARGUMENT,
  unauthenticated: status.UNAUTHENTICATED,
  permission_denied: status.PERMISSION_DENIED,
  not_found: status.NOT_FOUND,
  not_owner: status.ABORTED,
  unavailable: status.UNAVAILABLE,
  overloaded: status.RESOURCE_EXHAUSTED,
  fenced: status.FAILED_PRECONDITION,
  outcome_unknown: status.UNKNOWN,
  deadline_exceeded: status.DEADLINE_EXCEEDED,
  cancelled: status.CANCELLED,
  corruption: status.DATA_LOSS,
  internal: status.INTERNAL,
  actor_threw: status.UNKNOWN,
} as const satisfies Record<ErrorCode, status>;

interface ErrorInfo {
  readonly code: ErrorCode;
  readonly executed: Executed;
  readonly message: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** What the client gets. Anything that is not homing's own error was thrown by the object. */
export function toStatus(error: unknown): ServiceError {
  const { code, executed, message, metadata } = describe(error);
  const details = encodeStatus(statuses[code], message, code, { ...metadata, executed });
  const trailer = new Metadata();
  trailer.set('grpc-status-details-bin', Buffer.from(details));
  return Object.assign(new Error(message), {
    code: statuses[code],
    details: message,
    metadata: trailer,
  });
}

function describe(error: unknown): ErrorInfo {
  if (isHomingError(error)) {
    return {
      code: error.code,
      executed: error.executed,
      message: error.message,
      metadata: error.details,
    };
  }
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  const flags = (typeof error === 'object' && error !== null ? error : {}) as {
    readonly overloaded?: unknown;
    readonly remote?: unknown;
    readonly durableObjectReset?: unknown;
  };
  const metadata = { name, message };
  if (flags.overloaded === true) return { code: 'overloaded', executed: 'no', message, metadata };
  if (flags.durableObjectReset === true && flags.remote !== true) {
    return { code: 'outcome_unknown', executed: 'maybe', message, metadata };
  }
  return { code: 'actor_threw', executed: 'yes', message, metadata };
}

/** google.rpc.Status {code = 1, message = 2, details = 3} with one ErrorInfo. */
function encodeStatus(
  code: number,
  message: string,
  reason: string,
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const info = new BinaryWriter().uint32(10).string(reason).uint32(18).string('homing');
  for (const [key, value] of Object.entries(metadata)) {
    info.uint32(26).fork().uint32(10).string(key).uint32(18).string(value).join();
  }
  const writer = new BinaryWriter().uint32(8).int32(code).uint32(18).string(message);
  writer.uint32(26).fork().uint32(10).string('type.googleapis.com/google.rpc.ErrorInfo');
  return writer.uint32(18).bytes(info.finish()).join().finish();
}
