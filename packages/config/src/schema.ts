/**
 * The shape of a wrangler file, as far as homing obeys it.
 *
 * Three kinds of key: those described here; those of Cloudflare's own platform that change nothing
 * about what the code does (`platformOnly`); and those that promise the code something homing does
 * not have (`unsupported`), which are refused, because code that finds a binding missing fails
 * later and worse. Any other key is unknown, and named in a warning.
 */
import { z } from 'zod';

const identifier = z
  .string()
  .regex(/^[A-Za-z_$][\w$]*$/, 'expected an identifier: letters, digits, _ and $');

const date = z.string().regex(/^\d{4}-\d{2}-\d{2}$/, 'expected a date as YYYY-MM-DD');

const workerName = z
  .string()
  .regex(/^[a-z0-9_][a-z0-9_-]*$/i, 'expected letters, digits, _ and - only')
  .max(255);

const migration = z.strictObject({
  tag: z.string().min(1),
  new_classes: z.array(identifier).default([]),
  new_sqlite_classes: z.array(identifier).default([]),
  renamed_classes: z.array(z.strictObject({ from: identifier, to: identifier })).default([]),
  deleted_classes: z.array(identifier).default([]),
  transferred_classes: z
    .array(z.strictObject({ from: identifier, from_script: workerName, to: identifier }))
    .default([]),
});

const objectBinding = z.strictObject({
  name: identifier,
  class_name: identifier,
  script_name: z.string().optional(),
  environment: z.string().optional(),
});

const serviceBinding = z.strictObject({
  binding: identifier,
  service: z.string(),
  entrypoint: z.string().min(1).optional(),
  environment: z.string().optional(),
});

const rule = z.strictObject({
  type: z.enum(['Text', 'Data', 'CompiledWasm', 'ESModule']),
  globs: z.array(z.string().min(1)).min(1),
  fallthrough: z.boolean().optional(),
});

/** Taken from the top of the file when the environment does not say otherwise. */
const inheritable = {
  name: workerName.optional(),
  main: z.string().min(1).optional(),
  compatibility_date: date.optional(),
  compatibility_flags: z.array(z.string()).optional(),
  rules: z.array(rule).optional(),
  migrations: z.array(migration).optional(),
  triggers: z.strictObject({ crons: z.array(z.string()).default([]) }).optional(),
  alias: z.record(z.string(), z.string()).optional(),
  tsconfig: z.string().optional(),
};

/** Each environment says these anew. */
const ownOfEnvironment = {
  vars: z.record(z.string(), z.json()).optional(),
  define: z.record(z.string(), z.string()).optional(),
  durable_objects: z.strictObject({ bindings: z.array(objectBinding) }).optional(),
  services: z.array(serviceBinding).optional(),
};

export const inheritableKeys: readonly string[] = Object.keys(inheritable);

const environment = z.strictObject({ ...inheritable, ...ownOfEnvironment });

export const wranglerFile = z.strictObject({
  ...inheritable,
  ...ownOfEnvironment,
  $schema: z.string().optional(),
  env: z.record(z.string(), environment).optional(),
});

export type WranglerEnvironment = z.infer<typeof environment>;
export type WranglerFile = z.infer<typeof wranglerFile>;
export type Migration = z.infer<typeof migration>;
export type Rule = z.infer<typeof rule>;

/** Keys about deployment to Cloudflare: left out of the check, named in one warning. */
export const platformOnly: ReadonlySet<string> = new Set([
  'account_id',
  'build',
  'cache',
  'compliance_region',
  'dev',
  'find_additional_modules',
  'base_dir',
  'preserve_file_names',
  'first_party_worker',
  'keep_names',
  'keep_vars',
  'legacy_env',
  'limits',
  'logpush',
  'minify',
  'no_bundle',
  'observability',
  'placement',
  'preview_urls',
  'previews',
  'route',
  'routes',
  'send_metrics',
  'tail_consumers',
  'upload_source_maps',
  'usage_model',
  'workers_dev',
]);

/** Keys that promise something homing does not have. */
export const unsupported: ReadonlySet<string> = new Set([
  'ai',
  'analytics_engine_datasets',
  'assets',
  'browser',
  'cloudchamber',
  'containers',
  'd1_databases',
  'data_blobs',
  'dispatch_namespaces',
  'hyperdrive',
  'images',
  'kv_namespaces',
  'logfwdr',
  'media',
  'mtls_certificates',
  'pipelines',
  'queues',
  'r2_buckets',
  'ratelimits',
  'secrets_store_secrets',
  'send_email',
  'site',
  'text_blobs',
  'unsafe',
  'unsafe_hello_world',
  'vectorize',
  'version_metadata',
  'vpc_services',
  'wasm_modules',
  'worker_loaders',
  'workflows',
]);
