/**
 * The process that crash.process.test.ts kills: appends pairs of keys to four objects without end and
 * prints `object lsn` for each that was acknowledged. Runs what was built, as a node does.
 */
import { writeSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { makeEpoch, spaces } from '@homing/base';
import { openRocksStore } from '../dist/index.js';

const store = await openRocksStore({ directory: process.argv[2] });
const epoch = makeEpoch(BigInt(store.starts), 0);

async function run(index) {
  const id = `0${index}`.repeat(32);
  let { lsn } = store.head(id)?.last ?? { lsn: 0 };
  for (;;) {
    const name = { epoch, lsn: ++lsn };
    const value = Buffer.from(String(lsn));
    const put = (key) => ({ type: 'put', space: spaces.kv, key: Buffer.from(key), value });
    await store.append({
      object: { namespace: 'worker/Class', id },
      records: [{ name, operations: [put(`one ${lsn}`), put(`two ${lsn}`), put('newest')] }],
      committed: name,
    });
    await say(`${index} ${lsn}\n`);
  }
}

/** At once, so that a kill loses nothing that was said; a full pipe is waited for. */
async function say(line) {
  for (;;) {
    try {
      writeSync(1, line);
      return;
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      await setTimeout(1);
    }
  }
}

await Promise.all([0, 1, 2, 3].map(run));
