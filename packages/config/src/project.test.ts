import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseDevVars } from './dev-vars.ts';
import { ConfigError, readProject } from './index.ts';

function project(files: Readonly<Record<string, unknown>>): string {
  const dir = mkdtempSync(join(tmpdir(), 'homing-config-'));
  mkdirSync(join(dir, 'src'));
  writeFileSync(join(dir, 'src/index.ts'), '');
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(dir, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return dir;
}

const base = { name: 'w', main: 'src/index.ts', compatibility_date: '2026-06-01' };

function problemsOf(config: object, env?: string): readonly string[] {
  try {
    readProject(project({ 'wrangler.jsonc': { ...base, ...config } }), env ? { env } : {});
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

function classesOf(migrations: readonly object[]): Record<string, string> {
  const { classes } = readProject(project({ 'wrangler.json': { ...base, migrations } }));
  return Object.fromEntries(classes.map((made) => [made.className, made.namespace]));
}

describe('classes', () => {
  test('a renamed class keeps its namespace, and its old name begins anew', () => {
    const migrations = [
      { tag: 'v1', new_classes: ['A'] },
      { tag: 'v2', renamed_classes: [{ from: 'A', to: 'B' }] },
      { tag: 'v3', new_sqlite_classes: ['A'] },
    ];
    expect(classesOf(migrations)).toEqual({ B: 'w/A', A: 'w/A~2' });
  });

  test('a deleted class that is made again does not see the old objects', () => {
    const migrations = [
      { tag: 'v1', new_classes: ['A'] },
      { tag: 'v2', deleted_classes: ['A'] },
      { tag: 'v3', new_classes: ['A'] },
    ];
    expect(classesOf(migrations)).toEqual({ A: 'w/A~2' });
  });
});

describe('problems name the file, the key and what is expected', () => {
  const binding = { name: 'A', class_name: 'A' };
  const cases: readonly [string, object, RegExp][] = [
    ['no migration', { durable_objects: { bindings: [binding] } }, /new_sqlite_classes": \["A"\]/],
    [
      'another script',
      { durable_objects: { bindings: [{ ...binding, script_name: 'x' }] } },
      /script_name: expected this worker/,
    ],
    ['another service', { services: [{ binding: 'S', service: 'x' }] }, /services\[0\]\.service/],
    ['kv', { kv_namespaces: [{ binding: 'KV', id: '1' }] }, /kv_namespaces: homing does not/],
    ['assets', { assets: { directory: 'public' } }, /assets: homing does not/],
    ['date', { compatibility_date: 'today' }, /compatibility_date: expected a date/],
    ['main', { main: 'src/none.ts' }, /main: expected a file/],
    ['type', { rules: [{ type: 'Image', globs: ['*'] }] }, /rules\[0\]\.type/],
    ['both ways', { compatibility_flags: ['rpc', 'no_rpc'] }, /expected rpc or its opposite/],
  ];
  test.each(cases)('%s', (_name, config, expected) => {
    const problems = problemsOf(config);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(expected);
    expect(problems[0]).toContain('wrangler.jsonc: ');
  });

  test('all at once', () => {
    expect(problemsOf({ main: 'none.ts', name: 1 }).length).toBeGreaterThan(0);
    expect(
      problemsOf({ main: 'none.ts', services: [{ binding: 'S', service: 'x' }] }),
    ).toHaveLength(2);
  });
});

test('flags by date, and by name either way', () => {
  const read = (date: string, flags: string[]) =>
    readProject(
      project({
        'wrangler.json': { ...base, compatibility_date: date, compatibility_flags: flags },
      }),
    ).compatibility;
  expect(read('2026-02-23', [])['delete_all_deletes_alarm']).toBe(false);
  expect(read('2026-02-24', [])['delete_all_deletes_alarm']).toBe(true);
  expect(read('2026-02-24', ['delete_all_preserves_alarm'])['delete_all_deletes_alarm']).toBe(
    false,
  );
  expect(read('2020-01-01', ['rpc', 'nodejs_compat'])).toMatchObject({
    rpc: true,
    nodejs_compat: true,
  });
});

test('environments inherit main and migrations, not bindings; .dev.vars lie over vars', () => {
  const dir = project({
    'wrangler.toml': `
name = "w"
main = "src/index.ts"
compatibility_date = "2026-06-01"
[vars]
TOP = "1"
[[migrations]]
tag = "v1"
new_classes = ["A"]
[env.staging.vars]
OWN = "2"
SECRET = "none"
`,
    '.dev.vars': 'SECRET="a\\nb" # note\n',
    '.dev.vars.staging': "MORE='x#y'\n",
  });
  const read = readProject(dir, { env: 'staging' });
  expect(read.name).toBe('w-staging');
  expect(read.vars).toEqual({ OWN: '2', SECRET: 'a\nb', MORE: 'x#y' });
  expect(read.classes).toHaveLength(1);
  expect(() => readProject(dir, { env: 'none' })).toThrow(
    /env\.none: no such environment: expected staging/,
  );
});

test('unknown keys are named and ignored', () => {
  const config = { ...base, nonsense: 1, triggers: { crons: ['* * * * *'], other: 1 } };
  const read = readProject(project({ 'wrangler.jsonc': config }));
  expect(read.warnings.filter((line) => line.includes('unknown key'))).toHaveLength(2);
  expect(read.crons).toEqual(['* * * * *']);
});

test('dotenv', () => {
  expect(parseDevVars('A=1\n#B=2\nexport C = x y # z\nD=\nE=`q"`\r\nF="\\""')).toEqual({
    A: '1',
    C: 'x y',
    D: '',
    E: 'q"',
    F: '\\"',
  });
});
