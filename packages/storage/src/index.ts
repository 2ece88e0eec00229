/** The adapters of the `Store` port. */
export { memoryStore } from './memory-store.ts';
export {
  openRocksStore,
  type RocksStore,
  type RocksStoreOptions,
  rocksStoreDefaults,
} from './rocks/rocks-store.ts';
/** What an executor's thread needs: a reader, and nothing that writes. */
export { openStateReader } from './rocks/state-reader.ts';
