/**
 * What a worker's imports mean: the platform's own modules, Node's, and files of data.
 *
 * Owns no state but the rules; one plugin serves one build or one watch.
 */
import { readFile } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import { isAbsolute, relative, resolve } from 'node:path';
import type { WorkerProject } from '@homing/config';
import type { OnResolveArgs, OnResolveResult, Plugin, PluginBuild } from 'esbuild';
import { type CompiledRule, compileRules } from './module-rules.ts';
import { workersModule } from './workers-module.ts';

const builtins = new Set(builtinModules);

/** Marks an inner resolution, so that it is not taken for another import. */
const inner = Symbol('inner');

export function workerPlugin(project: WorkerProject): Plugin {
  const rules = compileRules(project.rules);
  return {
    name: 'homing',
    setup(build) {
      build.onResolve({ filter: /^cloudflare:/ }, resolvePlatform);
      build.onLoad({ filter: /.*/, namespace: 'cloudflare' }, () => ({
        contents: workersModule,
        loader: 'js',
      }));
      build.onResolve({ filter: /.*/ }, (args) => resolveBuiltin(build, project, args));
      handleData(build, project, rules);
    },
  };
}

function resolvePlatform(args: OnResolveArgs): OnResolveResult {
  if (args.path === 'cloudflare:workers') return { path: args.path, namespace: 'cloudflare' };
  return {
    errors: [{ text: `homing does not have the module "${args.path}", only cloudflare:workers` }],
  };
}

async function resolveBuiltin(
  build: PluginBuild,
  project: WorkerProject,
  args: OnResolveArgs,
): Promise<OnResolveResult | undefined> {
  if (args.pluginData === inner) return undefined;
  const bare = args.path.startsWith('node:') ? args.path.slice(5) : args.path;
  if (!builtins.has(bare) && bare === args.path) return undefined;
  if (bare === args.path && bare in project.alias) return undefined;
  const { compatibility } = project;
  const allowed =
    compatibility['nodejs_compat'] === true ||
    (bare === 'async_hooks' && compatibility['nodejs_als'] === true);
  if (allowed) return { path: `node:${bare}`, external: true };
  if (bare === args.path) {
    // Packages from npm stand in for some of Node's modules: `events`, `buffer`.
    const { kind, resolveDir, importer } = args;
    const found = await build.resolve(bare, { kind, resolveDir, importer, pluginData: inner });
    if (found.errors.length === 0) return undefined;
  }
  return {
    errors: [
      { text: `"${args.path}" needs the flag "nodejs_compat": add it to compatibility_flags` },
    ],
  };
}

function handleData(
  build: PluginBuild,
  project: WorkerProject,
  rules: readonly CompiledRule[],
): void {
  const ruleFor = (path: string) => rules.find(({ pattern }) => pattern.test(path));
  build.onResolve({ filter: /\.[^/.]+$/ }, async (args) => {
    if (args.kind === 'entry-point' || args.pluginData === inner) return undefined;
    const written = args.path.replace(/^(\.\.?\/)+/, '').replace(/^\//, '');
    const rule = ruleFor(written);
    if (rule === undefined || rule.type === 'ESModule') return undefined;
    const path = args.path.replace(/\?module$/, '');
    const found = await build.resolve(path, {
      kind: args.kind,
      resolveDir: args.resolveDir,
      importer: args.importer,
      pluginData: inner,
    });
    // Wrangler takes a bare `a.html` for `./a.html` where there is no such package.
    const file = found.errors.length > 0 ? resolve(args.resolveDir, path) : found.path;
    if (!isAbsolute(file)) return found;
    return { path: file, namespace: `data-${rule.type}` };
  });
  for (const type of ['Text', 'Data', 'CompiledWasm'] as const) {
    build.onLoad({ filter: /.*/, namespace: `data-${type}` }, async ({ path }) => {
      let content: Buffer;
      try {
        content = await readFile(path);
      } catch {
        return { errors: [{ text: `cannot read ${relative(project.dir, path)}` }] };
      }
      return { contents: dataModule(type, content), loader: 'js', watchFiles: [path] };
    });
  }
}

function dataModule(type: 'Text' | 'Data' | 'CompiledWasm', content: Buffer): string {
  if (type === 'Text') return `export default ${JSON.stringify(content.toString('utf8'))};`;
  const bytes =
    `Uint8Array.from(atob(${JSON.stringify(content.toString('base64'))}), ` +
    `(char) => char.charCodeAt(0))`;
  if (type === 'Data') return `export default ${bytes}.buffer;`;
  return `export default new WebAssembly.Module(${bytes});`;
}
