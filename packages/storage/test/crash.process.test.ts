/**
 * kill -9 while writing: every record whose acknowledgement was seen is there afterwards, and no
 * record is there in part. What a power failure may leave is for power-failure.test.ts.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ObjectIdHex, type StateReader, spaces } from '@homing/base';
import { expect, test } from 'vitest';
import { openRocksStore } from '../src/index.ts';

const rounds = 6;
const child = new URL('crash-child.mjs', import.meta.url).pathname;

/** Runs the child until it has acknowledged `acks` records, kills it, and returns all it said. */
async function writeAndKill(directory: string, acks: number): Promise<string[]> {
  const running = spawn(process.execPath, [child, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(running, 'close');
  let output = '';
  let lines = 0;
  running.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    lines += text.split('\n').length - 1;
    if (lines >= acks) running.kill('SIGKILL');
  });
  const [, signal] = await closed;
  expect(signal).toBe('SIGKILL');
  return output.split('\n').slice(0, -1);
}

function text(reader: StateReader, id: ObjectIdHex, keys: string[]): (string | undefined)[] {
  const found = reader.get(
    id,
    spaces.kv,
    keys.map((key) => Buffer.from(key)),
  );
  return found.map((value) => value && Buffer.from(value).toString());
}

test('what was acknowledged survives kill -9, and no record is there in part', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'homing-crash-'));
  const acked = [0, 0, 0, 0];
  try {
    for (let round = 0; round < rounds; round++) {
      for (const line of await writeAndKill(directory, 50 + round * 150)) {
        const [index, lsn] = line.split(' ').map(Number);
        acked[index!] = Math.max(acked[index!]!, lsn!);
      }
      const store = await openRocksStore({ directory });
      const reader = store.reader();
      for (const [index, newestAcked] of acked.entries()) {
        const id = `0${index}`.repeat(32) as ObjectIdHex;
        const last = store.head(id)!.last.lsn;
        expect(last).toBeGreaterThanOrEqual(newestAcked);
        for (let lsn = 1; lsn <= last; lsn++) {
          const value = String(lsn);
          expect(text(reader, id, [`one ${lsn}`, `two ${lsn}`])).toEqual([value, value]);
        }
        const [beyondOne, beyondTwo, newest] = text(reader, id, [
          `one ${last + 1}`,
          `two ${last + 1}`,
          'newest',
        ]);
        expect([beyondOne, beyondTwo, newest]).toEqual([undefined, undefined, String(last)]);
      }
      await store.close();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
