/** Rules about the repository itself that no linter knows. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const linesMax = 800;

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(root, file)));

const text = (file: string) => readFileSync(join(root, file), 'utf8');
const sources = files.filter(
  (file) => /^packages\/[^/]+\/src\/.*\.ts$/.test(file) && !file.includes('/generated/'),
);
const production = sources.filter((file) => !/\.test\.ts$|\/testing-/.test(file));
const packageOf = (file: string) => file.split('/')[1] ?? '';

function manifest(name: string): { dependencies?: Record<string, string> } {
  return JSON.parse(text(`packages/${name}/package.json`));
}

function imports(file: string): string[] {
  const pattern = /(?:from|import|require\()\s*\(?['"]([^'"\n]+)['"]/g;
  return [...text(file).matchAll(pattern)].map((match) => match[1] ?? '');
}

test('every source file begins with what it owns', () => {
  const bare = production.filter((file) => !/^(#!.*\n)?\/\*\*/.test(text(file)));
  expect(bare).toEqual([]);
});

test('no file is too long to be read', () => {
  expect(production.filter((file) => text(file).split('\n').length > linesMax)).toEqual([]);
});

test('every package says what it is for', () => {
  const packages = new Set(production.map(packageOf));
  expect(
    [...packages].filter((name) => !existsSync(join(root, 'packages', name, 'README.md'))),
  ).toEqual([]);
});

test('a third-party package is imported by one of ours', () => {
  const importers = new Map<string, Set<string>>();
  for (const file of production) {
    for (const specifier of imports(file)) {
      if (/^[.]|^node:|^@homing\/|^cloudflare:|^file:/.test(specifier)) continue;
      const name = specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/');
      if (
        builtinModules.includes(name) ||
        !(name in (manifest(packageOf(file)).dependencies ?? {}))
      )
        continue;
      importers.set(name, (importers.get(name) ?? new Set()).add(packageOf(file)));
    }
  }
  const shared = [...importers].filter(([, packages]) => packages.size > 1);
  expect(shared.map(([name, packages]) => `${name}: ${[...packages].join(', ')}`)).toEqual([]);
  expect(importers.size).toBeGreaterThan(5);
});

test('adapters do not import each other', () => {
  const adapters = ['storage', 'coordinator', 'gateway', 'rpc'];
  for (const name of adapters) {
    const ours = Object.keys(manifest(name).dependencies ?? {}).filter((key) =>
      key.startsWith('@homing/'),
    );
    expect(
      ours.filter((key) => adapters.includes(key.slice('@homing/'.length))),
      name,
    ).toEqual([]);
  }
});

test('versions of third-party packages are pinned', () => {
  for (const file of files.filter((name) => name.endsWith('package.json'))) {
    const { dependencies = {}, devDependencies = {} } = JSON.parse(text(file));
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
      expect(version, `${name} in ${file}`).toMatch(/^\d+\.\d+\.\d+$/);
    }
  }
});

test('links in documents lead somewhere', () => {
  const broken: string[] = [];
  for (const file of files.filter((name) => name.endsWith('.md'))) {
    for (const [, target = ''] of text(file).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      if (!existsSync(join(root, dirname(file), target))) broken.push(`${file}: ${target}`);
    }
  }
  expect(broken).toEqual([]);
});

test('nothing is left to do without a reason', () => {
  const marks = new RegExp(`\\b(${['TO', 'DO|FIX', 'ME|X', 'XX'].join('')})\\b`);
  expect(production.filter((file) => marks.test(text(file)))).toEqual([]);
});
