/** The `Logger` port over pino: one JSON object a line on stderr, so that stdout stays for people. */
import type { LogFields, Logger } from '@homing/base';
import { destination, type Logger as Pino, pino } from 'pino';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'silent';

class PinoLogger implements Logger {
  readonly #pino: Pino;

  constructor(instance: Pino) {
    this.#pino = instance;
  }

  error(message: string, fields: LogFields = {}): void {
    this.#pino.error(fields, message);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.#pino.warn(fields, message);
  }

  info(message: string, fields: LogFields = {}): void {
    this.#pino.info(fields, message);
  }

  debug(message: string, fields: LogFields = {}): void {
    this.#pino.debug(fields, message);
  }

  child(fields: LogFields): Logger {
    return new PinoLogger(this.#pino.child(fields));
  }
}

export function createLogger(level: LogLevel): Logger {
  return new PinoLogger(pino({ level, base: null }, destination({ fd: 2, sync: true })));
}
