/**
 * A worker project turned into one ES module with its source map inside.
 *
 * The file's name holds a hash of its content: an executor that imports it gets exactly this build,
 * and the last good build stays where it is while a broken one is reported.
 */
import { createHash } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { WorkerProject } from '@homing/config';
import {
  type BuildFailure,
  type BuildOptions,
  type BuildResult,
  build,
  formatMessages,
  type Message,
} from 'esbuild';
import { workerPlugin } from './plugin.ts';

export type BundleResult =
  | {
      readonly ok: true;
      /** Absolute, `.mjs`. */
      readonly file: string;
      /** The same as a file: URL. */
      readonly url: string;
      readonly warnings: readonly string[];
    }
  /** Each with file, line, column and the source line. */
  | { readonly ok: false; readonly errors: readonly string[] };

export interface BundleOptions {
  /** Made where missing. */
  readonly outDir: string;
}

/** Resolves with the errors of the user's code; rejects only where `outDir` cannot be written. */
export async function bundleProject(
  project: WorkerProject,
  options: BundleOptions,
): Promise<BundleResult> {
  let result: BuildResult;
  try {
    result = await build(buildOptions(project, options.outDir));
  } catch (error) {
    if (!isBuildFailure(error)) throw error;
    return failed(error.errors);
  }
  return finish(result, options.outDir);
}

/** @internal */
export function buildOptions(project: WorkerProject, outDir: string): BuildOptions {
  return {
    absWorkingDir: project.dir,
    entryPoints: [project.main],
    // Sources in the map are relative to the output, so it must be where the file will be.
    outfile: join(resolve(outDir), 'worker.mjs'),
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    // Lowered for Node 20, whatever the syntax's level.
    supported: { using: false },
    platform: 'neutral',
    mainFields: ['browser', 'module', 'main'],
    conditions: ['workerd', 'worker', 'browser'],
    sourcemap: 'inline',
    sourcesContent: true,
    keepNames: true,
    charset: 'utf8',
    logLevel: 'silent',
    define: { 'process.env.NODE_ENV': '"production"', ...project.define },
    alias: { ...project.alias },
    ...(project.tsconfig === undefined ? {} : { tsconfig: project.tsconfig }),
    plugins: [workerPlugin(project)],
    ...(project.compatibility['nodejs_compat'] === true ? { banner: { js: requireBanner } } : {}),
  };
}

/** CommonJS packages in an ES module require Node's modules. */
const requireBanner =
  "import { createRequire as $createRequire } from 'node:module';" +
  'const require = $createRequire(import.meta.url);';

/** @internal Writes the output of a build that esbuild did. */
export async function finish(result: BuildResult, outDir: string): Promise<BundleResult> {
  if (result.errors.length > 0) return failed(result.errors);
  const output = result.outputFiles?.[0];
  if (output === undefined) return { ok: false, errors: ['the build has no output'] };
  const hash = createHash('sha256').update(output.contents).digest('hex').slice(0, 16);
  const file = join(resolve(outDir), `worker-${hash}.mjs`);
  await mkdir(outDir, { recursive: true });
  await writeFile(`${file}.${process.pid}.tmp`, output.contents);
  await rename(`${file}.${process.pid}.tmp`, file);
  return {
    ok: true,
    file,
    url: pathToFileURL(file).href,
    warnings: await formatMessages(result.warnings, { kind: 'warning' }),
  };
}

async function failed(errors: Message[]): Promise<BundleResult> {
  return { ok: false, errors: await formatMessages(errors, { kind: 'error' }) };
}

function isBuildFailure(error: unknown): error is BuildFailure {
  return error instanceof Error && 'errors' in error && Array.isArray(error.errors);
}
