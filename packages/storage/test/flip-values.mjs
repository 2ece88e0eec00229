/** Changes the last byte of every value that an object has stored: `flip-values.mjs DB ID`. */
import { afterPrefix, statePrefixOf } from '../dist/rocks/keys.js';
import { native, noOptions, readRange } from '../dist/rocks/native.js';

const [, , path, id] = process.argv;
const database = native.db_init(path);
await new Promise((resolve, reject) => {
  native.db_open(
    database,
    {
      createIfMissing: false,
      compaction: 'level',
      memtableMemoryBudget: 1 << 22,
      cacheSize: 1 << 22,
      walCompression: false,
      parallelism: 1,
    },
    (error) => (error ? reject(error) : resolve()),
  );
});
const prefix = statePrefixOf(Buffer.from(id, 'hex'), 1, 0);
const rows = readRange(database, { gte: prefix, lt: afterPrefix(prefix) }, 1000);
const batch = native.batch_init();
for (let index = 0; index < rows.length; index += 2) {
  const value = rows[index + 1];
  value[value.length - 1] ^= 1;
  native.batch_put(batch, rows[index], value, noOptions);
}
native.batch_write(database, batch, { sync: true });
await new Promise((resolve) => native.db_close(database, resolve));
console.log(rows.length / 2);
