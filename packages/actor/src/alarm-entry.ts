/** The alarm of one object as it lies in its system space, beside the writes it was set with. */
import { Buffer } from 'node:buffer';
import type { WallMs } from '@homing/base';

export interface AlarmEntry {
  /** The time that user code asked for. */
  readonly scheduledMs: WallMs;
  /** When to run: later than scheduled for a retry. */
  readonly dueMs: WallMs;
  /** Failures of the handler so far. */
  readonly retryCount: number;
}

export const alarmKey: Uint8Array = new TextEncoder().encode('alarm');

const entryBytes = 17;

export function encodeAlarm(entry: AlarmEntry): Uint8Array {
  const bytes = Buffer.alloc(entryBytes);
  bytes.writeDoubleBE(entry.scheduledMs, 0);
  bytes.writeDoubleBE(entry.dueMs, 8);
  bytes.writeUInt8(entry.retryCount, 16);
  return new Uint8Array(bytes);
}

export function decodeAlarm(bytes: Uint8Array): AlarmEntry {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    scheduledMs: buffer.readDoubleBE(0) as WallMs,
    dueMs: buffer.readDoubleBE(8) as WallMs,
    retryCount: buffer.readUInt8(16),
  };
}
