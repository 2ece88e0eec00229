/**
 * Gathers what the file, the environment and the flags say, each over the one before, and judges
 * every value by itself. Problems are collected: a value that is wrong stays known as given, so
 * that no later check calls it missing too.
 */
import { ConfigError } from './config-error.ts';
import {
  type ConfigKey,
  camelCase,
  limitKey,
  type NodeConfigPath,
  type NodeConfigValues,
  nodeConfigKeys,
  nodeConfigPaths,
  variableName,
} from './node-config-keys.ts';
import { isRecord, parseFile } from './wrangler-file.ts';

interface Given {
  /** As a problem names it: `homing.json: listen.http`, `HOMING_LISTEN_HTTP`, `--listen.http`. */
  readonly where: string;
  readonly value: unknown;
  readonly isValid: boolean;
}

const byVariable = new Map(nodeConfigPaths.map((path) => [variableName(path), path]));
const limitVariable = /^HOMING_LIMITS_([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)$/;
const limitPath = /^limits\.([a-z][A-Za-z0-9]*)$/;
const variable = 'HOMING_';

export class NodeConfigSources {
  readonly problems: string[] = [];
  readonly #given = new Map<string, Given>();
  #isComplete = true;

  /** False once a file could not be read: what is not given here may well be in it. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  addFile(file: string): void {
    let top: Readonly<Record<string, unknown>>;
    try {
      top = parseFile(file);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.problems.push(...error.problems);
      this.#isComplete = false;
      return;
    }
    this.#addSection(file, top, '');
  }

  addEnvironment(env: Readonly<Record<string, string | undefined>>): void {
    for (const [name, text] of Object.entries(env)) {
      if (text === undefined || !name.startsWith(variable)) continue;
      const limit = limitVariable.exec(name)?.[1];
      const path = limit === undefined ? byVariable.get(name) : `limits.${camelCase(limit)}`;
      if (path === undefined) {
        const section = sections.find((one) => name.startsWith(`${variableName(one)}_`)) ?? '';
        const known = namesIn(section, variableName, '_…');
        this.problems.push(`${name}: unknown variable, expected ${known}`);
      } else this.#addText(path, text, name);
    }
  }

  /** Flags by their path, without dashes. */
  addFlags(flags: Readonly<Record<string, string>>): void {
    for (const [path, text] of Object.entries(flags)) {
      const where = `--${path}`;
      if (keyOf(path) !== undefined) this.#addText(path, text, where);
      else {
        const section = sections.find((one) => path.startsWith(`${one}.`)) ?? '';
        const known = namesIn(section, (one) => `--${one}`, '.…');
        this.problems.push(`${where}: unknown flag, expected ${known}`);
      }
    }
  }

  isGiven(path: NodeConfigPath): boolean {
    return this.#given.has(path);
  }

  /** The value that holds; `undefined` also where the one given is wrong. */
  value<P extends NodeConfigPath>(path: P): NodeConfigValues[P] | undefined {
    const given = this.#given.get(path);
    const value = given === undefined ? nodeConfigKeys[path].fallback : given.value;
    return (given?.isValid === false ? undefined : value) as NodeConfigValues[P] | undefined;
  }

  limits(): Record<string, number> {
    const limits: Record<string, number> = {};
    for (const [path, { value }] of this.#given) {
      const name = limitPath.exec(path)?.[1];
      if (name !== undefined) limits[name] = value as number;
    }
    return limits;
  }

  /** What a problem calls the key: where its value came from, or its path. */
  where(path: NodeConfigPath): string {
    return this.#given.get(path)?.where ?? path;
  }

  #addSection(file: string, section: Readonly<Record<string, unknown>>, prefix: string): void {
    for (const [name, value] of Object.entries(section)) {
      // A name with a dot in it would be taken for a key of a section.
      const path = name.includes('.') ? '' : join(prefix, name);
      const where = `${file}: ${join(prefix, name)}`;
      const key = keyOf(path);
      if (key !== undefined) this.#add(path, key, value, where);
      else if (!sections.includes(path)) {
        this.problems.push(`${where}: unknown key, expected ${list(childrenOf(prefix))}`);
      } else if (isRecord(value)) this.#addSection(file, value, path);
      else this.problems.push(`${where}: expected an object with ${list(childrenOf(path))}`);
    }
  }

  #addText(path: string, text: string, where: string): void {
    const key = keyOf(path);
    if (key !== undefined) this.#add(path, key, key.kind.fromText(text), where);
  }

  #add(path: string, { kind }: ConfigKey, given: unknown, where: string): void {
    const { success: isValid, data: value } = kind.schema.safeParse(given);
    if (!isValid) {
      const shown = kind.isSecret === true ? '' : `is ${show(given)}, `;
      this.problems.push(`${where}: ${shown}expected ${kind.allowed}`);
    }
    this.#given.set(path, { where, value, isValid });
  }
}

/** Paths that hold keys and are none: the deepest first. */
const sections: readonly string[] = [
  ...new Set(nodeConfigPaths.flatMap((path) => parentsOf(path))),
  'limits',
].sort((a, b) => b.length - a.length);

function parentsOf(path: string): string[] {
  const names = path.split('.');
  return names.slice(1).map((_, index) => names.slice(0, index + 1).join('.'));
}

/** The names that may stand in a section; `''` is the top. */
function childrenOf(section: string): string[] {
  if (section === 'limits') return ['NAME'];
  const start = section === '' ? '' : `${section}.`;
  const below = [...nodeConfigPaths, 'limits'].filter((path) => path.startsWith(start));
  return [...new Set(below.map((path) => path.slice(start.length).split('.')[0] as string))];
}

/** What may stand in a section, as `write` writes a path; `more` follows what is a section itself. */
function namesIn(section: string, write: (path: string) => string, more: string): string {
  const paths = childrenOf(section).map((child) => join(section, child));
  return list(paths.map((path) => write(path) + (sections.includes(path) ? more : '')));
}

function keyOf(path: string): ConfigKey | undefined {
  if (limitPath.test(path)) return limitKey;
  return Object.hasOwn(nodeConfigKeys, path) ? nodeConfigKeys[path as NodeConfigPath] : undefined;
}

function join(section: string, name: string): string {
  return section === '' ? name : `${section}.${name}`;
}

function list(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `one of ${names.join(', ')}`;
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 80 ? text : `${text.slice(0, 80)}…`;
}
