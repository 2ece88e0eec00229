/**
 * Finds, parses and checks a wrangler file, and picks the environment out of it.
 *
 * Problems are collected, not thrown one at a time: a person sees all of them at once.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ParseError, parse as parseJsonc, printParseErrorCode } from 'jsonc-parser';
import { parse as parseToml } from 'smol-toml';
import type { z } from 'zod';
import { ConfigError } from './config-error.ts';
import {
  inheritableKeys,
  platformOnly,
  unsupported,
  type WranglerEnvironment,
  type WranglerFile,
  wranglerFile,
} from './schema.ts';

/** In the order of precedence, which is wrangler's own. */
const fileNames = ['wrangler.json', 'wrangler.jsonc', 'wrangler.toml'] as const;

export interface SelectedEnvironment {
  readonly config: WranglerEnvironment;
  readonly warnings: readonly string[];
}

/** The absolute path of the project's wrangler file, and the names of those it hides. */
export function findWranglerFile(dir: string): { file: string; hidden: readonly string[] } {
  const [first, ...hidden] = fileNames.filter((name) => existsSync(join(dir, name)));
  if (first === undefined) {
    throw new ConfigError([
      `${dir}: expected one of wrangler.jsonc, wrangler.json and wrangler.toml here, found none`,
    ]);
  }
  return { file: join(dir, first), hidden };
}

/** What the file says for `env`, or for no environment. Throws `ConfigError`. */
export function readWranglerFile(file: string, env: string | undefined): SelectedEnvironment {
  const raw = parseFile(file);
  const warnings: string[] = [];
  const problems: string[] = [];
  setAside(file, raw, env, warnings, problems);
  const checked = check(file, raw, warnings, problems);
  if (checked === undefined || problems.length > 0) throw new ConfigError(problems);
  return { config: selectEnvironment(file, checked, env), warnings };
}

type Raw = Record<string, unknown>;

export function isRecord(value: unknown): value is Raw {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object that a JSON, JSONC or TOML file holds. Throws `ConfigError`. */
export function parseFile(file: string): Raw {
  const text = readText(file);
  let value: unknown;
  if (file.endsWith('.toml')) {
    try {
      value = parseToml(text);
    } catch (error) {
      throw new ConfigError([`${file}: expected valid TOML: ${(error as Error).message}`]);
    }
  } else {
    const errors: ParseError[] = [];
    value = parseJsonc(text, errors, { allowTrailingComma: true });
    if (errors.length > 0) {
      throw new ConfigError(
        errors.map((error) => {
          const before = text.slice(0, error.offset).split('\n');
          const place = `${before.length}:${(before.at(-1) ?? '').length + 1}`;
          return `${file}:${place}: expected valid JSON with comments: ${printParseErrorCode(error.error)}`;
        }),
      );
    }
  }
  if (!isRecord(value)) throw new ConfigError([`${file}: expected an object at the top`]);
  return value;
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/^\uFEFF/, '');
  } catch (error) {
    throw new ConfigError([`${file}: cannot be read: ${(error as Error).message}`]);
  }
}

/** Takes out the keys that homing does not obey; refuses those that the code would miss. */
function setAside(
  file: string,
  raw: Raw,
  env: string | undefined,
  warnings: string[],
  problems: string[],
): void {
  const idle = new Set<string>();
  const visit = (section: Raw, prefix: string, inUse: boolean) => {
    for (const key of Object.keys(section)) {
      if (unsupported.has(key)) {
        if (inUse && !isEmpty(section[key])) {
          problems.push(`${file}: ${prefix}${key}: homing does not have this binding; remove it`);
        }
      } else if (platformOnly.has(key)) {
        if (inUse) idle.add(key);
      } else continue;
      delete section[key];
    }
  };
  const environments = isRecord(raw['env']) ? raw['env'] : {};
  const chosen = env === undefined ? undefined : environments[env];
  // Bindings are not inherited: those at the top matter only without an environment.
  const { assets } = raw;
  visit(raw, '', env === undefined);
  if (env !== undefined && !isEmpty(assets)) {
    problems.push(`${file}: assets: homing does not have this binding; remove it`);
  }
  for (const [name, section] of Object.entries(environments)) {
    if (isRecord(section)) visit(section, `env.${name}.`, section === chosen);
  }
  if (idle.size > 0) {
    warnings.push(
      `${file}: no effect here, these concern Cloudflare's platform: ${[...idle].join(', ')}`,
    );
  }
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isRecord(value) && Object.values(value).every(isEmpty);
}

/** Checks the shape. Unknown keys become warnings and are taken out, and the rest is checked again. */
function check(
  file: string,
  raw: Raw,
  warnings: string[],
  problems: string[],
): WranglerFile | undefined {
  const first = wranglerFile.safeParse(raw);
  if (first.success) return first.data;
  for (const issue of first.error.issues) {
    if (issue.code !== 'unrecognized_keys') {
      problems.push(`${file}: ${keyPath(issue.path)}: ${expectation(issue)}`);
      continue;
    }
    const parent = at(raw, issue.path);
    for (const key of issue.keys) {
      warnings.push(`${file}: ${keyPath([...issue.path, key])}: unknown key, ignored`);
      if (isRecord(parent)) delete parent[key];
    }
  }
  if (problems.length > 0) return undefined;
  return wranglerFile.parse(raw);
}

function at(value: unknown, path: readonly PropertyKey[]): unknown {
  let here = value;
  for (const key of path) here = (here as Record<PropertyKey, unknown>)[key];
  return here;
}

function keyPath(path: readonly PropertyKey[]): string {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else text += text === '' ? String(key) : `.${String(key)}`;
  }
  return text === '' ? '(top)' : text;
}

function expectation(issue: z.core.$ZodIssue): string {
  return issue.message.replace(/^Invalid (input|option|string): /, '');
}

function selectEnvironment(
  file: string,
  top: WranglerFile,
  env: string | undefined,
): WranglerEnvironment {
  const { env: environments = {}, $schema: _, ...base } = top;
  if (env === undefined) return base;
  const own = environments[env];
  if (own === undefined) {
    const known = Object.keys(environments);
    const expected = known.length === 0 ? 'this file has none' : `expected ${known.join(' or ')}`;
    throw new ConfigError([`${file}: env.${env}: no such environment: ${expected}`]);
  }
  const inherited = Object.entries(base).filter(([key]) => inheritableKeys.includes(key));
  const merged: WranglerEnvironment = { ...Object.fromEntries(inherited), ...own };
  // Another environment is another worker, with state of its own.
  if (own.name === undefined && base.name !== undefined) merged.name = `${base.name}-${env}`;
  return merged;
}
