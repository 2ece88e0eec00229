/** Which objects have a copy in a second region, where nodes are configured differently. */
import type { Logger, ObjectIdHex, Timers } from '@homing/base';
import { expect, test } from 'vitest';
import { RemoteAgreement } from './remote-agreement.ts';

const regions = { regions: ['eu', 'us', 'asia'], named: 3, jurisdictions: {} };
const object = { namespace: 'w/Room', id: '0'.repeat(64) as ObjectIdHex };

/** A cluster's setting, as all nodes see it. */
class Cluster {
  setting: string | undefined;
  /** etcd does not answer. */
  isAway = false;
  writes = 0;

  node(configured: Record<string, string[]> | undefined, isController = false) {
    const warnings: string[] = [];
    const logger = { warn: (message: string) => warnings.push(message) } as unknown as Logger;
    let look = () => {};
    const timers: Timers = {
      after: (_ms, callback) => {
        look = callback;
        return { cancel: () => {} };
      },
    };
    const coordinator = {
      isController,
      setting: () => this.setting as never,
      putSetting: async (_name: string, value: unknown) => {
        this.writes += 1;
        if (this.isAway) await new Promise(() => {});
        this.setting = value as string;
      },
    };
    const namespaces = {
      keyOf: (name: string) => (name === 'ROOM' ? 'w/Room' : undefined),
      list: () => [{ name: 'ROOM', className: 'Room', key: 'w/Room' }],
    };
    const given = { configured, namespaces, coordinator, timers, logger };
    const agreement = new RemoteAgreement({ ...given, regions: () => regions });
    const changes: (string | undefined)[] = [];
    const remote = () => agreement.remoteOf(object, 'eu');
    agreement.start(() => changes.push(remote()));
    return { agreement, coordinator, warnings, changes, remote, look: () => look() };
  }
}

test('until the cluster has agreed a node goes by its own configuration', () => {
  const { agreement, remote } = new Cluster().node({ ROOM: ['eu', 'us'] });
  expect([remote(), agreement.isAsConfigured]).toEqual(['us', true]);
});

test('what the controller is configured with counts for all, and others say so', () => {
  const cluster = new Cluster();
  const other = cluster.node({ ROOM: ['asia'] });
  const none = cluster.node(undefined);
  const chief = cluster.node({ ROOM: ['us'] }, true);
  for (const one of [chief, other, none]) one.look();
  expect([chief, other, none].map(({ remote }) => remote())).toEqual(['us', 'us', 'us']);
  expect([chief, other, none].map(({ agreement }) => agreement.isAsConfigured)).toEqual([
    true,
    false,
    false,
  ]);
  expect([chief, other, none].map(({ warnings }) => warnings.length)).toEqual([0, 1, 1]);
  expect([chief, other, none].map(({ changes }) => changes)).toEqual([[], ['us'], ['us']]);
  for (const one of [chief, other, none]) one.look();
  expect([other, none].map(({ changes, warnings }) => [changes.length, warnings.length])).toEqual([
    [1, 1],
    [1, 1],
  ]);
});

test('another controller with another configuration changes it, also to none', () => {
  const cluster = new Cluster();
  const chief = cluster.node({ ROOM: ['us'] }, true);
  const next = cluster.node(undefined);
  for (const one of [chief, next]) one.look();
  expect(next.remote()).toBe('us');
  chief.coordinator.isController = false;
  next.coordinator.isController = true;
  for (const one of [next, chief, next]) one.look();
  expect([chief, next].map(({ remote }) => remote())).toEqual([undefined, undefined]);
  expect(chief.agreement.isAsConfigured).toBe(false);
});

test('it is written once at a time, however long etcd is away', () => {
  const cluster = new Cluster();
  cluster.isAway = true;
  const chief = cluster.node({ ROOM: ['us'] }, true);
  for (let look = 0; look < 5; look++) chief.look();
  expect(cluster.writes).toBe(1);
});

test('a value that is gone, or that nobody can read, changes nothing', () => {
  const cluster = new Cluster();
  const chief = cluster.node({ ROOM: ['us'] }, true);
  const other = cluster.node(undefined);
  other.look();
  chief.coordinator.isController = false;
  for (const setting of [undefined, '{', '[["us"]]', '{"w/Room":"us"}', 'null']) {
    cluster.setting = setting;
    other.look();
    other.look();
    expect([setting, other.remote()]).toEqual([setting, 'us']);
  }
  // The first one is that it is configured otherwise.
  expect(other.warnings.length).toBe(5);
});

test('a namespace that the worker does not have is refused', () => {
  expect(() => new Cluster().node({ HALL: ['us'] })).toThrow(
    'replication.remote.HALL is not a namespace; there is ROOM',
  );
});
