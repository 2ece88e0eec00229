import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readProject } from '@homing/config';
import { expect, test } from 'vitest';
import { type BundleResult, bundleProject, watchProject } from './index.ts';
import { globPattern } from './module-rules.ts';

function make(files: Readonly<Record<string, string>>, config: object = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'homing-bundler-'));
  mkdirSync(join(dir, 'src'));
  const base = { name: 'w', main: 'src/index.ts', compatibility_date: '2026-06-01' };
  writeFileSync(join(dir, 'wrangler.json'), JSON.stringify({ ...base, ...config }));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(dir, name), content);
  return { dir, project: readProject(dir), options: { outDir: join(dir, '.homing') } };
}

async function load(files: Readonly<Record<string, string>>, config: object = {}) {
  const { project, options } = make(files, config);
  const result = await bundleProject(project, options);
  if (!result.ok) throw new Error(result.errors.join('\n'));
  return { module: await import(/* @vite-ignore */ result.url), file: result.file };
}

async function errorsOf(source: string, config: object = {}): Promise<string> {
  const { project, options } = make({ 'src/index.ts': source }, config);
  const result = await bundleProject(project, options);
  return result.ok ? '' : result.errors.join('\n');
}

test('data, text and wasm are modules; the platform comes from the executor', async () => {
  class DurableObject {}
  Object.assign(globalThis, { [Symbol.for('homing.cloudflare.workers')]: { DurableObject } });
  const { module } = await load(
    {
      'src/index.ts': `
        import { DurableObject, env } from 'cloudflare:workers';
        import text from './a.txt'; import data from './b.bin'; import wasm from './c.wasm';
        import page from './d.page';
        export class A extends DurableObject {}
        export default { text, data, wasm, page, env, base: DurableObject };`,
      'src/a.txt': 'hello',
      'src/b.bin': 'ab',
      'src/c.wasm': '\0asm\x01\0\0\0',
      'src/d.page': 'page',
    },
    { rules: [{ type: 'Text', globs: ['**/*.page'], fallthrough: true }] },
  );
  expect(module.default).toMatchObject({ text: 'hello', page: 'page', base: DurableObject });
  expect(new Uint8Array(module.default.data)).toEqual(new Uint8Array([97, 98]));
  expect(String(module.default.wasm)).toBe('[object WebAssembly.Module]');
  expect(module.A.name).toBe('A');
});

test('what homing lacks is a build error that says what to do', async () => {
  expect(await errorsOf("import 'cloudflare:email';")).toContain('cloudflare:email');
  expect(await errorsOf("import 'node:fs';")).toContain('nodejs_compat');
  expect(await errorsOf("import fs from 'fs';\nconsole.log(fs)")).toContain('nodejs_compat');
  const flags = { compatibility_flags: ['nodejs_als'] };
  expect(await errorsOf("import 'node:async_hooks';", flags)).toBe('');
});

test('a syntax error shows file, line and the source', async () => {
  const errors = await errorsOf('const a = 1;\nconst = 2;');
  expect(errors).toContain('src/index.ts:2:6');
  expect(errors).toContain('const = 2;');
});

test('`using` is lowered, node modules stay outside, the map names the source', async () => {
  const { module, file } = await load(
    {
      'src/index.ts': `import { Buffer } from 'node:buffer';
        export const seen: string[] = [];
        { using held = { [Symbol.dispose]() { seen.push('disposed'); } }; seen.push(Buffer.name); }`,
    },
    { compatibility_flags: ['nodejs_compat'] },
  );
  expect(module.seen).toEqual(['Buffer', 'disposed']);
  const map = /base64,(.*)/.exec(readFileSync(file, 'utf8'))?.[1] ?? '';
  expect(JSON.parse(Buffer.from(map, 'base64').toString()).sources).toContain('../src/index.ts');
});

test('watching: each build is reported, a broken one too', async () => {
  const { dir, project, options } = make({ 'src/index.ts': 'export default 1;' });
  const results: BundleResult[] = [];
  let wake = () => {};
  const next = async (count: number) => {
    while (results.length < count) await new Promise<void>((resolve) => (wake = resolve));
  };
  const watch = await watchProject(project, {
    ...options,
    onResult: (result) => {
      results.push(result);
      wake();
    },
  });
  await next(1);
  writeFileSync(join(dir, 'src/index.ts'), 'export default = 2;');
  await next(2);
  writeFileSync(join(dir, 'src/index.ts'), 'export default 3;');
  await next(3);
  await watch.stop();
  expect(results.map(({ ok }) => ok)).toEqual([true, false, true]);
});

test('globs', () => {
  expect(globPattern('**/*.{txt,md}').test('a/b.md')).toBe(true);
  expect(globPattern('*.txt').test('a/b.txt')).toBe(false);
  expect(globPattern('**/*.txt').test('b.txt')).toBe(true);
});
