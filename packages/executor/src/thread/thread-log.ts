/** What homing's own code in a thread has to say of user code: a line with the name of its context. */
import { inspect } from 'node:util';
import { currentFrame, type LogFields, type Logger } from '@homing/base';
import type { WriteLog } from './worker-console.ts';

export function threadLogger(write: WriteLog, label?: string): Logger {
  const line = (level: 'error' | 'warn' | 'info' | 'debug') => {
    return (message: string, fields: LogFields = {}) => {
      const { error, ...rest } = fields;
      const detail = error === undefined ? '' : `: ${describe(error)}`;
      const more =
        Object.keys(rest).length === 0 ? '' : ` ${inspect(rest, { breakLength: Infinity })}`;
      write(level, label ?? currentFrame()?.context.label ?? 'worker', message + detail + more);
    };
  };
  return {
    error: line('error'),
    warn: line('warn'),
    info: line('info'),
    debug: line('debug'),
    child: () => threadLogger(write, label),
  };
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? String(error)) : inspect(error);
}
