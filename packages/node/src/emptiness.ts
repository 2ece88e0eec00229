/**
 * Whether an object holds nothing that anybody could miss: no alarm, no user's data, and of homing's
 * own no more than results of calls that no retry may ask for any more. Such an object is forgotten.
 *
 * Called by `Sleepers` for objects that are asleep, whose records are all folded in.
 */
import { type ObjectIdHex, type StateReader, type Store, spaces, type WallMs } from '@homing/base';

/** Results are kept for 10 minutes by the executor's clock; clocks may differ. */
const resultsKeptMs = 20 * 60 * 1000;
const resultPrefix = 'result:';

export function isEmpty(
  store: Store,
  reader: StateReader,
  id: ObjectIdHex,
  nowMs: WallMs,
): boolean {
  const head = store.head(id);
  if (head === undefined) return false;
  if (head.alarmMs !== null || head.last.lsn !== head.applied.lsn) return false;
  for (const _ of reader.list(id, spaces.kv, { limit: 1 })) return false;
  for (const { key, value } of reader.list(id, spaces.system, {})) {
    const isResult = Buffer.from(key).toString().startsWith(resultPrefix) && value.length >= 8;
    if (!isResult || Buffer.from(value).readDoubleBE(0) + resultsKeptMs > nowMs) return false;
  }
  return true;
}
