/** What an executor's thread loads: a reader, and nothing that writes. */
export { openStateReader } from './state-reader.ts';
