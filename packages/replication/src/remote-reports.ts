/**
 * What owners in other regions say of how far the copies are behind that they keep at this node's store. For
 * an operator, on the day that their region is lost: nothing is decided by it.
 *
 * The last report of each owner's node is in memory, and on disk, a little older: a node that starts again
 * tells what it last wrote down.
 *
 * Owned by `Replication`.
 */
import {
  type Clock,
  type Epoch,
  isOverloaded,
  type ObjectIdHex,
  type Store,
  type WallMs,
} from '@homing/base';

/** Of all objects that one node owns and that are to have a copy elsewhere. */
export interface RemoteReport {
  /** By the owner's clock. */
  readonly atMs: WallMs;
  /** Of the objects that it speaks of, the newest ownership. */
  readonly newest: Epoch;
  /** How far any of those is behind that are not listed; infinite, here and below, where that is not known. */
  readonly seconds: number;
  /** Those that are furthest behind. */
  readonly behind: readonly { readonly id: ObjectIdHex; readonly seconds: number }[];
}

/** How far one copy was behind when its owner last spoke. */
export interface HeardLag {
  readonly seconds: number;
  readonly atMs: WallMs;
}

export interface RemoteReportsOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** A report is written down at most so often; where the disk does not keep up the next one is. */
  readonly noteMs: number;
  readonly failed: (error: unknown) => void;
}

const notePrefix = 'remote-report ';

export class RemoteReports {
  readonly #options: RemoteReportsOptions;
  readonly #reports = new Map<string, RemoteReport>();
  readonly #notedAtMs = new Map<string, number>();

  constructor(options: RemoteReportsOptions) {
    this.#options = options;
    for (const { name, value } of options.store.notes(notePrefix)) {
      const report = decode(value);
      if (report !== undefined) this.#reports.set(name.slice(notePrefix.length), report);
    }
  }

  heard(node: string, report: RemoteReport): void {
    const { store, clock, noteMs, failed } = this.#options;
    this.#reports.set(node, report);
    const nowMs = clock.monotonicMs();
    const notedAtMs = this.#notedAtMs.get(node);
    if (notedAtMs !== undefined && nowMs - notedAtMs < noteMs) return;
    this.#notedAtMs.set(node, nowMs);
    store.putNote(`${notePrefix}${node}`, encode(report)).catch((error: unknown) => {
      if (isOverloaded(error)) this.#notedAtMs.delete(node);
      else failed(error);
    });
  }

  /**
   * Undefined where the node has not spoken of the object since it has owned it under this epoch, or its copy
   * has not had, since then, what was committed.
   */
  lagOf(node: string, id: ObjectIdHex, epoch: Epoch): HeardLag | undefined {
    const report = this.#reports.get(node);
    if (report === undefined || report.newest < epoch) return undefined;
    const { atMs, behind } = report;
    const seconds = behind.find((one) => one.id === id)?.seconds ?? report.seconds;
    return Number.isFinite(seconds) ? { seconds, atMs } : undefined;
  }
}

/** JSON has no infinite numbers: they are null. */
function encode({ atMs, newest, seconds, behind }: RemoteReport): Uint8Array {
  const pairs = behind.map((one) => [one.id, one.seconds]);
  return Buffer.from(JSON.stringify({ atMs, newest: String(newest), seconds, behind: pairs }));
}

/** Undefined for what another version wrote. */
function decode(value: Uint8Array): RemoteReport | undefined {
  try {
    const { atMs, newest, seconds, behind } = JSON.parse(Buffer.from(value).toString());
    const pairs = behind as readonly (readonly [ObjectIdHex, number | null])[];
    return {
      atMs: Number(atMs) as WallMs,
      newest: BigInt(newest) as Epoch,
      seconds: seconds ?? Number.POSITIVE_INFINITY,
      behind: pairs.map(([id, own]) => ({ id, seconds: own ?? Number.POSITIVE_INFINITY })),
    };
  } catch {
    return undefined;
  }
}
