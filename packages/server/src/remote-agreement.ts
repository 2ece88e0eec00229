/**
 * Which objects have a copy in a second region, on all nodes alike. Nodes may be configured differently, as
 * while a change is rolled out: then what the controller is configured with counts. It writes that into etcd,
 * and all follow what etcd says. Otherwise the stores of one node would erase as left over what the
 * configuration of another has copied there.
 *
 * A node whose own configuration is another one says so. Until etcd says anything it goes by its own, and by
 * what it last said where that is gone or cannot be read.
 */
import type { Logger, RegionList, Timer, Timers } from '@homing/base';
import type { EtcdCoordinatorExtras } from '@homing/coordinator';
import { mayLiveIn } from '@homing/protocol';
import type { ReplicationOptions } from '@homing/replication';
import { CommandError } from './usage-error.ts';
import type { Namespaces } from './worker-version.ts';

type RegionsByKey = Readonly<Record<string, readonly string[]>>;

export interface RemoteAgreementOptions {
  /** Lists of regions by the namespaces' names, as configured on this node. */
  readonly configured: RegionsByKey | undefined;
  readonly namespaces: Pick<Namespaces, 'keyOf' | 'list'>;
  readonly coordinator: Pick<EtcdCoordinatorExtras, 'setting' | 'putSetting'> & {
    readonly isController: boolean;
  };
  readonly regions: () => RegionList | undefined;
  readonly timers: Timers;
  readonly logger: Logger;
}

const lookMs = 1000;

export class RemoteAgreement {
  readonly #options: RemoteAgreementOptions;
  /** As text, to be compared. */
  readonly #own: string;
  #present: string;
  #byKey: RegionsByKey;
  #unreadable: string | undefined;
  #changed: () => void = () => {};
  #timer: Timer | undefined;
  #isWriting = false;
  #isStopped = false;

  /** Throws `CommandError` for a namespace that the worker does not have. */
  constructor(options: RemoteAgreementOptions) {
    this.#options = options;
    this.#own = textOf(keyed(options));
    this.#present = this.#own;
    this.#byKey = JSON.parse(this.#own) as RegionsByKey;
    this.#adopt();
  }

  /** `changed` is called whenever other objects are to have copies. */
  start(changed: () => void): void {
    this.#changed = changed;
    this.#look();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  /** Whether any objects have copies. */
  get isEmpty(): boolean {
    return Object.keys(this.#byKey).length === 0;
  }

  /** Whether this node is configured as the cluster goes by. */
  get isAsConfigured(): boolean {
    return this.#present === this.#own;
  }

  /** The first region of a namespace's list that is not the object's home and that it may live in. */
  readonly remoteOf: NonNullable<ReplicationOptions['remoteOf']> = ({ namespace, id }, home) => {
    const known = this.#options.regions();
    if (known === undefined) return undefined;
    const list = this.#byKey[namespace];
    return list?.find((region) => region !== home && mayLiveIn(id, region, known));
  };

  #look(): void {
    if (this.#isStopped) return;
    const { coordinator, timers } = this.#options;
    const isOther = coordinator.setting('remote') !== this.#own;
    if (coordinator.isController && isOther && !this.#isWriting) void this.#write();
    if (this.#adopt()) this.#changed();
    this.#timer = timers.after(lookMs, () => this.#look());
  }

  /** Where it fails it is tried again, by whoever is the controller then. */
  async #write(): Promise<void> {
    const { coordinator, logger } = this.#options;
    this.#isWriting = true;
    try {
      await coordinator.putSetting('remote', this.#own);
    } catch (error) {
      logger.warn('replication.remote was not written into etcd', { error: String(error) });
    } finally {
      this.#isWriting = false;
    }
  }

  /** Whether anything has changed. */
  #adopt(): boolean {
    const { coordinator, logger } = this.#options;
    const agreed = coordinator.setting('remote') ?? this.#present;
    if (agreed === this.#present || agreed === this.#unreadable) return false;
    const byKey = parsed(agreed);
    if (byKey === undefined) {
      this.#unreadable = agreed;
      logger.warn('etcd holds a value that homing cannot read', { key: 'settings/remote' });
      return false;
    }
    this.#byKey = byKey;
    this.#present = agreed;
    if (!this.isAsConfigured) {
      logger.warn('replication.remote differs from the controller’s, which counts', {
        configured: this.#own,
        agreed,
      });
    }
    return true;
  }
}

/** In the order of keys, so that equal configurations are equal text. */
function textOf(byKey: RegionsByKey): string {
  return JSON.stringify(
    Object.fromEntries(Object.entries(byKey).sort(([a], [b]) => (a < b ? -1 : 1))),
  );
}

function parsed(text: string): RegionsByKey | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const isList = (one: unknown) =>
    Array.isArray(one) && one.every((region) => typeof region === 'string');
  return Object.values(value).every(isList) ? (value as RegionsByKey) : undefined;
}

function keyed({ configured = {}, namespaces }: RemoteAgreementOptions): RegionsByKey {
  const found = Object.entries(configured).map(([name, regions]) => {
    const key = namespaces.keyOf(name);
    if (key !== undefined) return [key, regions] as const;
    const known = namespaces.list().map((namespace) => namespace.name);
    throw new CommandError(
      `replication.remote.${name} is not a namespace; there is ${known.join(', ') || 'none'}`,
    );
  });
  return Object.fromEntries(found);
}
