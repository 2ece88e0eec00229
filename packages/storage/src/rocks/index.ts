/** The RocksDB adapter. */
export {
  openRocksStore,
  type RocksStore,
  type RocksStoreOptions,
  rocksStoreDefaults,
} from './rocks-store.ts';
