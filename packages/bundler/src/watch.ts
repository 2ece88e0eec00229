/**
 * Builds again whenever a source changes, and tells when the configuration does. A new
 * configuration needs a new watch: the caller stops this one and reads the project anew.
 */
import { type Stats, unwatchFile, watchFile } from 'node:fs';
import type { WorkerProject } from '@homing/config';
import { context } from 'esbuild';
import { type BundleOptions, type BundleResult, buildOptions, finish } from './bundle.ts';

export interface WatchOptions extends BundleOptions {
  /** Every build's outcome in order, the first one's too; not called for unchanged output. */
  readonly onResult: (result: BundleResult) => void;
  /** The wrangler file or a `.dev.vars` changed, came or went. */
  readonly onConfigChanged?: (file: string) => void;
  /** How often the configuration files are looked at. Default 300. */
  readonly configPollMs?: number;
}

/** Resolves when watching has begun; the first result comes through `onResult`. */
export async function watchProject(
  project: WorkerProject,
  options: WatchOptions,
): Promise<{ stop(): Promise<void> }> {
  let stopped = false;
  let lastFile: string | undefined;
  let results = Promise.resolve();
  const report = (result: BundleResult) => {
    const unchanged = result.ok && result.file === lastFile;
    lastFile = result.ok ? result.file : undefined;
    if (!stopped && !unchanged) options.onResult(result);
  };
  const base = buildOptions(project, options.outDir);
  const watcher = await context({
    ...base,
    plugins: [
      ...(base.plugins ?? []),
      {
        name: 'report',
        setup(build) {
          build.onEnd((result) => {
            results = results
              .then(() => finish(result, options.outDir))
              .catch((error: unknown) => ({ ok: false as const, errors: [String(error)] }))
              .then(report);
          });
        },
      },
    ],
  });
  const configFiles = options.onConfigChanged === undefined ? [] : project.watchFiles;
  const listeners = configFiles.map((file) => {
    const listener = (now: Stats, before: Stats) => {
      // Called once for a file that does not exist, too.
      const isSame = now.mtimeMs === before.mtimeMs && now.size === before.size;
      if (!stopped && !isSame) options.onConfigChanged?.(file);
    };
    watchFile(file, { interval: options.configPollMs ?? 300, persistent: false }, listener);
    return () => unwatchFile(file, listener);
  });
  await watcher.watch();
  return {
    async stop() {
      stopped = true;
      for (const unlisten of listeners) unlisten();
      await watcher.dispose();
      await results;
    },
  };
}
