/**
 * What this process was granted and has not surely given up, by object. A record that names this
 * process under a revision that is not in here came by a transfer, or by a claim whose answer was lost.
 *
 * An entry stays while a release or transfer is under way or its outcome unknown: a claim then writes
 * the record anew, which rules the older write out.
 */
import { type Epoch, epochRevision, type Ownership } from '@homing/base';

/** How an object came to its home; kept for as long as it stays there. */
export type Past = Pick<Ownership, 'from' | 'isPromoted'>;

export function pastOf({ from, isPromoted }: Past): Past {
  return {
    ...(from === undefined ? {} : { from }),
    ...(isPromoted === true ? { isPromoted } : {}),
  };
}

export interface Grant extends Past {
  readonly epoch: Epoch;
  /** Of the record, in the coordinator's own count. */
  readonly revision: bigint;
  readonly home: string;
  readonly isDefault: boolean;
}

export class Grants {
  readonly #grants = new Map<string, Grant>();

  get(key: string): Grant | undefined {
    return this.#grants.get(key);
  }

  /** The grant that this epoch, or an attempt under it, belongs to. */
  under(key: string, epoch: Epoch): Grant | undefined {
    const grant = this.#grants.get(key);
    return grant !== undefined && epochRevision(grant.epoch) === epochRevision(epoch)
      ? grant
      : undefined;
  }

  set(key: string, grant: Grant): void {
    this.#grants.set(key, grant);
  }

  /** Forgets the grant, or only that one. */
  delete(key: string, grant?: Grant): void {
    if (grant === undefined || this.#grants.get(key) === grant) this.#grants.delete(key);
  }

  clear(): void {
    this.#grants.clear();
  }
}
