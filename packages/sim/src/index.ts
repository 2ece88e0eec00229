/** The seeded simulator. */
export { simulate } from './cli.ts';
