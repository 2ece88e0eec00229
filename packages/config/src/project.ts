/**
 * A worker project: what its author wrote in wrangler's file and `.dev.vars`, checked and resolved.
 *
 * Read once per build by the command line; the bundler and the executors take slices of it.
 */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Compatibility, resolveCompatibility } from './compatibility.ts';
import { ConfigError } from './config-error.ts';
import { devVarsFiles, readDevVars } from './dev-vars.ts';
import { applyMigrations, type ObjectClass } from './migrations.ts';
import type { Rule, WranglerEnvironment } from './schema.ts';
import { findWranglerFile, readWranglerFile } from './wrangler-file.ts';

export interface ModuleRule {
  readonly type: 'Text' | 'Data' | 'CompiledWasm' | 'ESModule';
  readonly globs: readonly string[];
  /** False: rules of the same type after this one, the default ones too, do not apply. */
  readonly fallthrough: boolean;
}

export interface WorkerProject {
  /** Absolute. */
  readonly dir: string;
  /** The wrangler file, absolute. */
  readonly file: string;
  /** The files whose change makes a new project: the wrangler file and those of `.dev.vars`. */
  readonly watchFiles: readonly string[];
  /** With an environment: `<name>-<env>`, unless the environment has a name of its own. */
  readonly name: string;
  /** Absolute. */
  readonly main: string;
  readonly compatibilityDate: string;
  /** Every flag homing knows: true where it is in force. */
  readonly compatibility: Readonly<Record<string, boolean>>;
  /** `.dev.vars` laid over `vars`. */
  readonly vars: Readonly<Record<string, unknown>>;
  /** After all migrations. */
  readonly classes: readonly ObjectClass[];
  readonly objectBindings: readonly { readonly name: string; readonly className: string }[];
  /** To entrypoints of this worker; `default` where none is named. */
  readonly serviceBindings: readonly { readonly name: string; readonly entrypoint: string }[];
  readonly rules: readonly ModuleRule[];
  readonly alias: Readonly<Record<string, string>>;
  readonly define: Readonly<Record<string, string>>;
  /** A tsconfig other than the one esbuild finds, absolute. */
  readonly tsconfig: string | undefined;
  readonly crons: readonly string[];
  /** For the log: each names the file and the key. */
  readonly warnings: readonly string[];
}

/** Throws `ConfigError` with every problem found. Reads the disk synchronously. */
export function readProject(dir: string, options: { readonly env?: string } = {}): WorkerProject {
  const root = resolve(dir);
  const { file, hidden } = findWranglerFile(root);
  const { config, warnings } = readWranglerFile(file, options.env);
  const problems: string[] = [];
  const report = (problem: string) => problems.push(`${file}: ${problem}`);

  const name = config.name;
  if (name === undefined) report('name: expected the name of the worker');
  const main = resolveMain(root, config, report);
  const compatibilityDate = config.compatibility_date;
  if (compatibilityDate === undefined) {
    report('compatibility_date: expected the date the code was written for, as "2026-06-01"');
  }
  const compatibility = resolveFlags(compatibilityDate ?? '', config, report);
  const migrated = applyMigrations(name ?? '', config.migrations ?? []);
  for (const problem of migrated.problems) report(problem);
  const bound = resolveBindings(config, migrated.classes, report);
  if (name === undefined || main === undefined || compatibilityDate === undefined) {
    throw new ConfigError(problems);
  }
  if (problems.length > 0) throw new ConfigError(problems);

  return {
    dir: root,
    file,
    watchFiles: [file, ...devVarsFiles(root, options.env)],
    name,
    main,
    compatibilityDate,
    compatibility: compatibility.inForce,
    vars: { ...config.vars, ...readDevVars(root, options.env) },
    classes: migrated.classes,
    ...bound,
    rules: (config.rules ?? []).map(toModuleRule),
    alias: config.alias ?? {},
    define: config.define ?? {},
    tsconfig: config.tsconfig === undefined ? undefined : resolve(root, config.tsconfig),
    crons: config.triggers?.crons ?? [],
    warnings: [...warnings, ...furtherWarnings(file, config, hidden, compatibility)],
  };
}

type Report = (problem: string) => void;

function resolveMain(root: string, config: WranglerEnvironment, report: Report) {
  if (config.main === undefined) {
    report('main: expected the path of the module with the default export, as "src/index.ts"');
    return undefined;
  }
  const main = resolve(root, config.main);
  if (!statSync(main, { throwIfNoEntry: false })?.isFile()) {
    report(`main: expected a file, there is none at ${main}`);
  } else if (!/\.[cm]?[jt]sx?$/.test(main)) {
    report(`main: expected JavaScript or TypeScript, not ${config.main}`);
  }
  return main;
}

function resolveFlags(date: string, config: WranglerEnvironment, report: Report): Compatibility {
  const compatibility = resolveCompatibility(date, config.compatibility_flags ?? []);
  for (const flag of compatibility.contradictory) {
    report(`compatibility_flags: expected ${flag} or its opposite, not both`);
  }
  return compatibility;
}

function resolveBindings(
  config: WranglerEnvironment,
  classes: readonly ObjectClass[],
  report: Report,
): Pick<WorkerProject, 'objectBindings' | 'serviceBindings'> {
  const names = new Set(Object.keys(config.vars ?? {}));
  const claim = (key: string, name: string) => {
    if (names.has(name)) report(`${key}: expected a name of its own, ${name} is taken`);
    names.add(name);
  };
  const objects = config.durable_objects?.bindings ?? [];
  for (const [index, binding] of objects.entries()) {
    const key = `durable_objects.bindings[${index}]`;
    claim(`${key}.name`, binding.name);
    checkObjectBinding(key, binding, config, classes, report);
  }
  const services = config.services ?? [];
  for (const [index, binding] of services.entries()) {
    const key = `services[${index}]`;
    claim(`${key}.binding`, binding.binding);
    if (binding.service !== config.name) {
      report(
        `${key}.service: expected this worker, ${config.name}: other workers cannot be reached, not ${binding.service}`,
      );
    }
  }
  return {
    objectBindings: objects.map(({ name, class_name: className }) => ({ name, className })),
    serviceBindings: services.map(({ binding, entrypoint }) => ({
      name: binding,
      entrypoint: entrypoint ?? 'default',
    })),
  };
}

function checkObjectBinding(
  key: string,
  binding: { readonly class_name: string; readonly script_name?: string | undefined },
  config: WranglerEnvironment,
  classes: readonly ObjectClass[],
  report: Report,
): void {
  const { class_name: className, script_name: script } = binding;
  if (script !== undefined && script !== config.name) {
    report(
      `${key}.script_name: expected this worker, ${config.name}: objects of other workers cannot be reached, not ${script}`,
    );
    return;
  }
  if (classes.some((known) => known.className === className)) return;
  const tag = `v${(config.migrations?.length ?? 0) + 1}`;
  report(
    `${key}.class_name: no migration makes the class ${className}: add { "tag": "${tag}", "new_sqlite_classes": ["${className}"] } to migrations`,
  );
}

function toModuleRule(rule: Rule): ModuleRule {
  return { type: rule.type, globs: rule.globs, fallthrough: rule.fallthrough ?? false };
}

function furtherWarnings(
  file: string,
  config: WranglerEnvironment,
  hidden: readonly string[],
  compatibility: Compatibility,
): string[] {
  const warnings: string[] = [];
  if (hidden.length > 0) warnings.push(`${file}: read in place of ${hidden.join(' and ')}`);
  for (const flag of compatibility.unknown) {
    warnings.push(`${file}: compatibility_flags: ${flag} is not known here and has no effect`);
  }
  for (const migration of config.migrations ?? []) {
    for (const { from, from_script: script } of migration.transferred_classes) {
      warnings.push(
        `${file}: migrations: ${from} of ${script} is taken over only where its objects are in this data directory`,
      );
    }
  }
  return warnings;
}
