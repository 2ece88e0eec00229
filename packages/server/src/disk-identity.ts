/**
 * What a node's disk keeps about the etcd it belongs to: the cluster's id, and the highest epoch seen.
 * An etcd that was wiped, or restored from a backup, is known by these, and refused.
 */
import type { Epoch, Logger, Store, Timer, Timers } from '@homing/base';

const clusterNote = 'etcd-cluster';
const epochNote = 'highest-epoch';
const witnessNote = 'etcd-witness';
/** How often the highest epoch and the witness are looked at; written only when they grew. */
const writeMs = 1000;

export interface DiskGuard {
  readonly clusterId: string | undefined;
  readonly highest: Epoch;
  readonly witness: number;
}

const text = (bytes: Uint8Array | undefined) =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString();

export function readGuard(store: Store): DiskGuard {
  return {
    clusterId: text(store.note(clusterNote)),
    highest: BigInt(text(store.note(epochNote)) ?? '0') as Epoch,
    witness: Number(text(store.note(witnessNote)) ?? '0'),
  };
}

export interface GuardedEtcd {
  readonly clusterId: string;
  readonly refused: boolean;
  readonly witness: number;
  highestEpoch(): Epoch;
}

/** Keeps the notes up to date, where the etcd is the trusted one. */
export class DiskIdentity {
  readonly #store: Store;
  readonly #etcd: GuardedEtcd;
  readonly #timers: Timers;
  readonly #logger: Logger;
  #written: Epoch;
  #writtenWitness: number;
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(store: Store, etcd: GuardedEtcd, timers: Timers, logger: Logger) {
    this.#store = store;
    this.#etcd = etcd;
    this.#timers = timers;
    this.#logger = logger;
    const { highest, witness } = readGuard(store);
    this.#written = highest;
    this.#writtenWitness = witness;
  }

  /** Resolves when the cluster's id is on disk. */
  async start(): Promise<void> {
    if (!this.#etcd.refused) await this.trust();
    this.#later();
  }

  /** Resolves when the disk knows the present etcd for its own. */
  async trust(): Promise<void> {
    await this.#store.putNote(clusterNote, Buffer.from(this.#etcd.clusterId));
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #later(): void {
    if (this.#isStopped) return;
    this.#timer = this.#timers.after(writeMs, () => {
      this.#write().then(
        () => this.#later(),
        (error: unknown) => {
          this.#logger.error('a note was not written', { error: String(error) });
          this.#later();
        },
      );
    });
  }

  async #write(): Promise<void> {
    const { refused, witness } = this.#etcd;
    const highest = this.#etcd.highestEpoch();
    if (refused) return;
    if (highest > this.#written) {
      await this.#store.putNote(epochNote, Buffer.from(String(highest)));
      this.#written = highest;
    }
    if (witness === this.#writtenWitness) return;
    await this.#store.putNote(witnessNote, Buffer.from(String(witness)));
    this.#writtenWitness = witness;
  }
}
