/** Flags of commands: parsed by Node, checked here. Throws `UsageError` for what is not understood. */

import { type ParseArgsConfig, parseArgs } from 'node:util';
import { messageOf } from '@homing/base';
import { UsageError } from './usage-error.ts';

type Options = NonNullable<ParseArgsConfig['options']>;

export interface Parsed {
  readonly positionals: readonly string[];
  text(name: string): string | undefined;
  /** Of a flag that may be given more than once. */
  texts(name: string): readonly string[];
  isSet(name: string): boolean;
  /** A TCP port; 0 for any free one. */
  port(name: string, fallback: number): number;
}

/** `args` without the command's name. */
export function parseFlags(
  args: readonly string[],
  options: Options,
  positionalsMax: number,
): Parsed {
  let values: Record<string, unknown>;
  let positionals: string[];
  try {
    ({ values, positionals } = parseArgs({
      args: [...args],
      options,
      allowPositionals: true,
      allowNegative: true,
    }) as { values: Record<string, unknown>; positionals: string[] });
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
  if (positionals.length > positionalsMax) {
    throw new UsageError(`unexpected argument ${JSON.stringify(positionals[positionalsMax])}`);
  }
  const text = (name: string) => values[name] as string | undefined;
  return {
    positionals,
    text,
    texts: (name) => (values[name] ?? []) as string[],
    isSet: (name) => values[name] === true,
    port: (name, fallback) => {
      const given = text(name);
      if (given === undefined) return fallback;
      const port = Number(given);
      if (!/^\d+$/.test(given) || port > 65_535) {
        throw new UsageError(
          `--${name} must be a port, 0 to 65535, and is ${JSON.stringify(given)}`,
        );
      }
      return port;
    },
  };
}
