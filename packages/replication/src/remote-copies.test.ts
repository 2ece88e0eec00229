/** Which logs have a remote copy, as what is wanted changes. */

import type { Epoch, ObjectIdHex } from '@homing/base';
import { type Clock, HomingError, type MonotonicMs, type Timers, type WallMs } from '@homing/base';
import { expect, test } from 'vitest';
import { replicationLimits } from './limits.ts';
import { RemoteCopies } from './remote-copies.ts';
import type { RemoteReport } from './remote-reports.ts';
import type { RemoteCopy } from './staging.ts';

class Harness {
  wanted: string | undefined;
  copies: { readonly region: string; isOver: boolean }[] = [];
  reports: [store: string, report: RemoteReport][] = [];
  look = () => {};
  lag = { records: 0, bytes: 0, committed: 5 };
  nowMs = 0;

  readonly log = {
    object: { namespace: 'w/C', id: 'a'.repeat(64) as ObjectIdHex },
    home: 'eu',
    epoch: 7n as Epoch,
    copyTo: ({ region }: { region: string }, ended: (error: HomingError) => void): RemoteCopy => {
      const copy = { region, isOver: false };
      this.copies.push(copy);
      const cancel = () => {
        copy.isOver = true;
        ended(new HomingError('unavailable', 'called off'));
      };
      const harness = this;
      return {
        get lag() {
          return harness.lag;
        },
        isNear: true,
        bytes: 0,
        cancel,
      };
    },
  };

  readonly remotes = new RemoteCopies({
    clock: {
      monotonicMs: () => this.nowMs as MonotonicMs,
      wallMs: () => (1000 + this.nowMs) as WallMs,
    } as Clock,
    timers: {
      after: (_ms, callback) => {
        this.look = callback;
        return { cancel: () => {} };
      },
    } as Timers,
    limits: replicationLimits,
    remoteOf: () => this.wanted,
    setOf: (region) => ({ region, shard: 0, generation: 1, members: [`${region}1`, `${region}2`] }),
    reclaim: () => {},
    report: (store, report) => this.reports.push([store, report]),
  });

  get living(): string[] {
    return this.copies.filter(({ isOver }) => !isOver).map(({ region }) => region);
  }
}

test('a log gets a copy, one elsewhere, or none, as others are to have one', () => {
  const one = new Harness();
  one.remotes.opened(one.log);
  expect(one.remotes.state.objects).toBe(0);
  one.wanted = 'us';
  one.remotes.reconsider(one.log);
  one.look();
  expect(one.living).toEqual(['us']);
  one.remotes.reconsider(one.log);
  expect([one.living, one.copies.length]).toEqual([['us'], 1]);
  one.wanted = 'asia';
  one.remotes.reconsider(one.log);
  one.look();
  expect(one.living).toEqual(['asia']);
  one.wanted = undefined;
  one.remotes.reconsider(one.log);
  one.look();
  expect([one.living, one.remotes.state.objects]).toEqual([[], 0]);
});

test('its stores are told how far it is behind, and since when', () => {
  const one = new Harness();
  one.wanted = 'us';
  one.remotes.opened(one.log);
  one.look();
  expect(one.reports.map(([store]) => store)).toEqual(['us1', 'us2']);
  expect(one.reports.at(-1)?.[1]).toEqual({ atMs: 1000, newest: 7n, seconds: 0, behind: [] });
  one.lag = { records: 2, bytes: 20, committed: 7 };
  one.nowMs = 12_000;
  one.look();
  expect(one.reports.at(-1)?.[1]).toEqual({
    atMs: 13_000,
    newest: 7n,
    seconds: 0,
    behind: [{ id: one.log.object.id, seconds: 12 }],
  });
});

test('how far a copy is behind is not known before it once had what was committed', () => {
  const one = new Harness();
  one.wanted = 'us';
  one.remotes.opened(one.log);
  // Its owner is recovering.
  const other = { ...one.log, epoch: 6n as Epoch, copyTo: () => undefined };
  one.remotes.opened(other);
  one.lag = { records: 2, bytes: 20, committed: 5 };
  one.look();
  one.nowMs = 3000;
  one.look();
  const seconds = () => one.reports.at(-1)?.[1].behind.map((each) => each.seconds);
  const unknown = Number.POSITIVE_INFINITY;
  expect(seconds()).toEqual([unknown, unknown]);
  one.lag = { records: 0, bytes: 0, committed: 5 };
  one.look();
  expect(seconds()).toEqual([unknown]);
  one.lag = { records: 1, bytes: 10, committed: 6 };
  one.nowMs = 5000;
  one.look();
  expect(seconds()).toEqual([unknown, 2]);
});
