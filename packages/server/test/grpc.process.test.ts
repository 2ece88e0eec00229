/** The counter over gRPC, from Python, and a retry that a kill -9 comes between. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { example, Program } from './program.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const script = fileURLToPath(new URL('python-client.py', import.meta.url));
const python = '/usr/bin/python3';
const hasPython =
  spawnSync(python, ['-c', 'import grpc, google.protobuf'], { stdio: 'ignore' }).status === 0;

let program: Program;
let directory: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'homing-grpc-'));
  program = await Program.start(example('counter'), '--no-watch');
  const buf = join(root, 'node_modules/@bufbuild/buf/bin/buf');
  execFileSync(process.execPath, [buf, 'build', 'proto', '-o', join(directory, 'objects.binpb')], {
    cwd: root,
  });
});

afterAll(async () => {
  await program.dispose();
  rmSync(directory, { recursive: true, force: true });
});

function client(): unknown {
  const address = `127.0.0.1:${program.ports.grpc}`;
  const args = [script, address, join(directory, 'objects.binpb')];
  return JSON.parse(execFileSync(python, args, { encoding: 'utf8' }));
}

describe.skipIf(!hasPython)('from Python', () => {
  test('calls, retries and errors', async () => {
    expect(client()).toEqual([
      { result: 5, replayed: false, node: 'n1' },
      { result: 7, replayed: false, node: 'n1' },
      { result: 7, replayed: true, node: 'n1' },
      { result: 7, replayed: false, node: 'n1' },
      { error: 'UNKNOWN', details: expect.stringContaining('does not implement the method') },
      { error: 'NOT_FOUND', details: expect.stringContaining('NOWHERE') },
    ]);
    // HTTP sees the same object.
    const response = await fetch(program.url('/python'));
    expect(await response.json()).toEqual({ name: 'python', value: 7 });
  });

  test('a kept result outlives a kill -9', async () => {
    await program.kill();
    await program.start();
    const [first, retried] = client() as unknown[];
    expect(first).toMatchObject({ result: 12 });
    expect(retried).toEqual({ result: 7, replayed: true, node: 'n1' });
  });
});
