/** What people write: wrangler files and `.dev.vars`. */
export { ConfigError } from './config-error.ts';
export type { ObjectClass } from './migrations.ts';
export { type NodeConfig, type NodeConfigInput, readNodeConfig } from './node-config.ts';
export { type ModuleRule, readProject, type WorkerProject } from './project.ts';
