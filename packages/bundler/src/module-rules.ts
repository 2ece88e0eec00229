/** Which files are modules of data rather than code: the project's rules, then the default ones. */
import type { ModuleRule } from '@homing/config';

const defaults: readonly ModuleRule[] = [
  { type: 'Text', globs: ['**/*.txt', '**/*.html', '**/*.sql'], fallthrough: true },
  { type: 'Data', globs: ['**/*.bin'], fallthrough: true },
  { type: 'CompiledWasm', globs: ['**/*.wasm', '**/*.wasm?module'], fallthrough: true },
];

export interface CompiledRule {
  readonly type: ModuleRule['type'];
  readonly pattern: RegExp;
}

/** A rule without `fallthrough` ends the rules of its type. */
export function compileRules(rules: readonly ModuleRule[]): readonly CompiledRule[] {
  const closed = new Set<string>();
  const compiled: CompiledRule[] = [];
  for (const rule of [...rules, ...defaults]) {
    if (closed.has(rule.type)) continue;
    if (!rule.fallthrough) closed.add(rule.type);
    for (const glob of rule.globs) compiled.push({ type: rule.type, pattern: globPattern(glob) });
  }
  return compiled;
}

/** `**` spans folders, `*` and `?` do not; `{a,b}` is one of them. */
export function globPattern(glob: string): RegExp {
  let depth = 0;
  const source = glob.replace(/\*\*\/|\*\*|[*?{},.+^$()|[\]\\]/g, (token) => {
    if (token === '**/') return '(?:.*/)?';
    if (token === '**') return '.*';
    if (token === '*') return '[^/]*';
    if (token === '?') return glob.includes('?module') ? '\\?' : '[^/]';
    if (token === '{') {
      depth += 1;
      return '(?:';
    }
    if (token === '}' && depth > 0) {
      depth -= 1;
      return ')';
    }
    if (token === ',') return depth > 0 ? '|' : ',';
    return `\\${token}`;
  });
  return new RegExp(`^${source}$`);
}
