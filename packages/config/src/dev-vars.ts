/**
 * `.dev.vars`: secrets for local work, one `KEY=value` a line, in the dotenv format.
 *
 * With an environment chosen `.dev.vars.<env>` is laid over `.dev.vars`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const line =
  /^\s*(?:export\s+)?([\w.-]+)\s*=[^\S\n]*('(?:[^'])*'|"(?:\\.|[^"\\])*"|`[^`]*`|[^#\n]*)[^\S\n]*(?:#.*)?$/gm;

/** As dotenv reads it: the last of two equal keys counts, unquoted values are trimmed. */
export function parseDevVars(text: string): Record<string, string> {
  const vars: Record<string, string> = {};
  for (const [, key = '', quoted = ''] of text.replaceAll('\r\n', '\n').matchAll(line)) {
    const value = quoted.trim();
    const quote = value[0];
    const isQuoted = value.length > 1 && value.endsWith(quote ?? '') && /['"`]/.test(quote ?? '');
    if (!isQuoted) vars[key] = value;
    else if (quote === '"') {
      vars[key] = value.slice(1, -1).replaceAll('\\n', '\n').replaceAll('\\r', '\r');
    } else vars[key] = value.slice(1, -1);
  }
  return vars;
}

/** The files that are read for `env`, those that exist or not, the later over the earlier. */
export function devVarsFiles(dir: string, env: string | undefined): readonly string[] {
  const base = join(dir, '.dev.vars');
  return env === undefined ? [base] : [base, `${base}.${env}`];
}

export function readDevVars(dir: string, env: string | undefined): Record<string, string> {
  const vars: Record<string, string> = {};
  for (const file of devVarsFiles(dir, env)) {
    if (existsSync(file)) Object.assign(vars, parseDevVars(readFileSync(file, 'utf8')));
  }
  return vars;
}
