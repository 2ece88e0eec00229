/** A history on disk, one operation a line, so that it can be checked again. */
import { createWriteStream, readFileSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Operation } from './history.ts';

export async function saveHistory(file: string, operations: readonly Operation[]): Promise<void> {
  const lines = function* () {
    for (const operation of operations) yield `${JSON.stringify(operation)}\n`;
  };
  await pipeline(lines, createWriteStream(file));
}

export function loadHistory(file: string): Operation[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Operation);
}
