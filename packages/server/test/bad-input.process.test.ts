/** What people get wrong: each ends the command with a status and a line that says what to do. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { example, fixture, Program, run } from './program.ts';

const worker = 'export class A {}; export default { fetch() { return new Response("ok"); } };';
const config = {
  name: 'w',
  main: 'index.js',
  compatibility_date: '2026-06-01',
  durable_objects: { bindings: [{ name: 'A', class_name: 'A' }] },
  migrations: [{ tag: 'v1', new_classes: ['A'] }],
};

const directories: string[] = [];

/** A directory with these files. */
function project(files: Record<string, string>): string {
  const directory = mkdtempSync(join(tmpdir(), 'homing-bad-'));
  directories.push(directory);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  return directory;
}

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

function dev(directory: string, ...flags: string[]) {
  const ports = ['--port', '0', '--grpc-port', '0', '--admin-port', '0', '--no-watch'];
  return run('dev', directory, ...ports, ...flags);
}

describe('usage', () => {
  test.each([
    [[], 2, /usage: homing COMMAND/],
    [['--help'], 0, /homing dev|dev +run/],
    [['--version'], 0, /^\d+\.\d+\.\d+$/m],
    [['fly'], 2, /there is no command "fly"/],
    [['dev', '--prot', '1'], 2, /--prot/],
    [['dev', '--port', 'x'], 2, /--port must be a port/],
    [['dev', '--limit', 'nothing=1'], 2, /knows no "nothing"/],
    [['dev', 'a', 'b'], 2, /unexpected argument "b"/],
    [['status', '--admin', 'http://127.0.0.1:1'], 1, /no node answers at/],
    [['cluster', '/nonexistent'], 2, /expected one of wrangler.jsonc/],
    [['cluster', '--log-level', 'loud'], 2, /--log-level must be one of/],
    [['cluster', '--regions', 'eu,'], 2, /--regions must be names/],
    [['objects', '--limit', '0'], 2, /--limit must be a whole number above 0/],
    [['describe'], 2, /a namespace, and an id or --name/],
  ] as const)('homing %j', async (args, status, expected) => {
    const outcome = await run(...args);
    expect(outcome.stdout + outcome.stderr).toMatch(expected);
    expect(outcome.status).toBe(status);
  });

  test.each(['dev', 'status', 'nodes', 'objects', 'describe'])('%s --help', async (command) => {
    const outcome = await run(command, '--help');
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
    expect(outcome.stdout).toContain(`homing ${command}`);
  });
});

describe('a project', () => {
  test.each([
    ['without a file', {}, 2, /wrangler\.jsonc/],
    ['that is not JSON', { 'wrangler.jsonc': '{"name": }' }, 2, /wrangler\.jsonc.*1/s],
    ['that is not TOML', { 'wrangler.toml': 'name = ' }, 2, /wrangler\.toml/],
    [
      'without main',
      { 'wrangler.json': JSON.stringify({ ...config, main: undefined }) },
      2,
      /main/,
    ],
    ['whose main is not there', { 'wrangler.json': JSON.stringify(config) }, 2, /index\.js/],
    [
      'with a class that no migration makes',
      {
        'wrangler.json': JSON.stringify({ ...config, migrations: [] }),
        'index.js': worker,
      },
      2,
      /migrations.*A|A.*migrations/s,
    ],
    [
      'with a binding that homing has not',
      {
        'wrangler.json': JSON.stringify({ ...config, kv_namespaces: [{ binding: 'KV', id: 'x' }] }),
        'index.js': worker,
      },
      2,
      /kv_namespaces/,
    ],
    [
      'that does not parse',
      { 'wrangler.json': JSON.stringify(config), 'index.js': 'export default {\n  fetch( {' },
      1,
      /index\.js:\d+:\d+/,
    ],
    [
      'that throws as it loads',
      {
        'wrangler.json': JSON.stringify(config),
        'index.js': `${worker} throw new Error('at load');`,
      },
      1,
      /could not be loaded.*at load/s,
    ],
  ] as const)('%s', async (_name, files, status, expected) => {
    const outcome = await dev(project(files as Record<string, string>));
    expect(outcome.stderr).toMatch(expected);
    expect(outcome.status).toBe(status);
  });
});

describe('what is taken', () => {
  let program: Program;

  beforeAll(async () => {
    program = await Program.start(example('counter'), '--no-watch');
  });

  afterAll(() => program.dispose());

  test('a data directory in use', async () => {
    const outcome = await dev(example('counter'), '--data', program.data);
    expect(outcome.stderr).toMatch(/in use/);
    expect(outcome.status).toBe(1);
    expect((await fetch(program.url('/a'))).ok, 'the first goes on serving').toBe(true);
  });

  test('a data directory of something else', async () => {
    const data = project({ 'store/letter.txt': 'dear reader' });
    const outcome = await dev(example('counter'), '--data', data);
    expect(outcome.stderr).toMatch(/not a homing/i);
    expect(outcome.status).toBe(1);
  });

  test('a port', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    try {
      const data = project({});
      const outcome = await run('dev', fixture('ledger'), '--data', data, '--port', String(port));
      expect(outcome.stderr).toMatch(new RegExp(`port ${port} is taken.*--port`));
      expect(outcome.status).toBe(1);
    } finally {
      server.close();
    }
  });
});
