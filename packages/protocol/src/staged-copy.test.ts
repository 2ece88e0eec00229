import { type EncodedRecord, type Epoch, noRecord } from '@homing/base';
import { describe, expect, it } from 'vitest';
import { StagedCopy, type StagedEffect, type StagedInput } from './staged-copy.ts';

const epoch = 7n as Epoch;
const record = (lsn: number, bytes = 10): EncodedRecord => ({
  name: { epoch, lsn },
  body: new Uint8Array(bytes),
});
const set = { generation: 1, members: ['a', 'b', 'c'] };

class Copy {
  readonly copy: StagedCopy;

  constructor(options: Partial<ConstructorParameters<typeof StagedCopy>[0]> = {}) {
    this.copy = new StagedCopy({
      set,
      target: 'a',
      base: noRecord,
      records: [],
      committed: 0,
      inFlightBytesMax: 1000,
      windowBytesMax: 1000,
      copiesMax: 2,
      ...options,
    });
  }

  step(...inputs: readonly StagedInput[]): string {
    return inputs.map((input) => this.copy.step(input).map(shown).join('+')).join(' ');
  }

  /** Each has the state as of the record. */
  begin(lsn: number, ...stores: readonly string[]): void {
    for (const store of stores) {
      this.step({ type: 'up', store }, { type: 'copied', store, lsn });
    }
  }
}

function shown(effect: StagedEffect): string {
  if (effect.type === 'failed') return effect.why;
  if (effect.type === 'copy') return `copy:${effect.to}`;
  const { to, previous, records, committed } = effect;
  return `send:${to}:${previous.lsn}<${records.map(({ name }) => name.lsn)}/${committed.lsn}`;
}

describe('a staged copy', () => {
  it('begins with the whole state at each store, whatever that holds', () => {
    const copy = new Copy();
    expect(copy.step({ type: 'up', store: 'a' })).toBe('copy:a');
    expect(copy.step({ type: 'acked', store: 'a', lsn: 0 })).toBe('');
    expect(copy.copy.isNear).toBe(false);
  });

  it('sends records once they are committed, and no sooner', () => {
    const copy = new Copy();
    copy.begin(0, 'a');
    expect(copy.step({ type: 'append', record: record(1) })).toBe('');
    expect(copy.step({ type: 'append', record: record(2) })).toBe('');
    expect(copy.step({ type: 'committed', lsn: 1 })).toBe('send:a:0<1/1');
    expect(copy.step({ type: 'committed', lsn: 2 })).toBe('send:a:1<2/2');
  });

  it('is settled when a majority with the next owner has all that was ever appended', () => {
    const copy = new Copy();
    copy.begin(0, 'b', 'c');
    expect(copy.copy.isNear).toBe(false);
    copy.begin(0, 'a');
    expect([copy.copy.isNear, copy.copy.isSettled]).toEqual([true, true]);
    copy.step({ type: 'append', record: record(1) });
    expect(copy.copy.isSettled).toBe(false);
    copy.step({ type: 'committed', lsn: 1 });
    copy.step({ type: 'acked', store: 'b', lsn: 1 }, { type: 'acked', store: 'c', lsn: 1 });
    expect(copy.copy.isSettled).toBe(false);
    copy.step({ type: 'acked', store: 'a', lsn: 1 });
    expect(copy.copy.isSettled).toBe(true);
  });

  it('keeps what came while the state was on its way, up to its limit', () => {
    const copy = new Copy({ windowBytesMax: 25 });
    copy.step({ type: 'up', store: 'a' });
    for (const lsn of [1, 2]) {
      copy.step({ type: 'append', record: record(lsn) }, { type: 'committed', lsn });
    }
    expect(copy.step({ type: 'copied', store: 'a', lsn: 0 })).toBe('send:a:0<1,2/2');
    const slow = new Copy({ windowBytesMax: 25 });
    slow.step({ type: 'up', store: 'a' });
    slow.step({ type: 'append', record: record(1) }, { type: 'append', record: record(2) });
    expect(slow.step({ type: 'append', record: record(3) })).toMatch(/faster/);
    expect(slow.step({ type: 'up', store: 'b' })).toBe('');
  });

  it('does not wait with its records for a store that is down', () => {
    const copy = new Copy({ windowBytesMax: 15 });
    copy.begin(0, 'a', 'b', 'c');
    copy.step({ type: 'down', store: 'c' });
    for (let lsn = 1; lsn < 5; lsn++) {
      copy.step({ type: 'append', record: record(lsn) }, { type: 'committed', lsn });
      copy.step({ type: 'acked', store: 'a', lsn }, { type: 'acked', store: 'b', lsn });
    }
    expect(copy.copy.isSettled).toBe(true);
    expect(copy.step({ type: 'up', store: 'c' })).toBe('copy:c');
  });

  it('holds back what is on its way, and sends at least one', () => {
    const copy = new Copy({ inFlightBytesMax: 15, base: noRecord });
    copy.begin(0, 'a');
    for (const lsn of [1, 2, 3]) copy.step({ type: 'append', record: record(lsn) });
    expect(copy.step({ type: 'committed', lsn: 3 })).toBe('send:a:0<1,2/2');
    expect(copy.step({ type: 'acked', store: 'a', lsn: 2 })).toBe('send:a:2<3/3');
  });

  it('gives up a store that fails again and again, and itself without a majority', () => {
    const copy = new Copy();
    copy.begin(0, 'a', 'b');
    for (const _ of [1, 2]) copy.step({ type: 'up', store: 'c' });
    expect(copy.step({ type: 'up', store: 'c' })).toBe('');
    expect(copy.copy.isSettled).toBe(true);
    copy.step({ type: 'up', store: 'b' });
    expect(copy.step({ type: 'up', store: 'b' })).toMatch(/cannot be copied/);
  });

  it('ends where a store has promised a newer epoch', () => {
    const copy = new Copy();
    copy.begin(0, 'a', 'b', 'c');
    expect(copy.step({ type: 'refused', store: 'c' })).toMatch(/newer epoch/);
  });

  it('ignores that what was sent before a copy does not continue anything', () => {
    const copy = new Copy();
    copy.begin(0, 'a');
    expect(copy.step({ type: 'gap', store: 'a' })).toBe('copy:a');
    expect(copy.step({ type: 'gap', store: 'a' })).toBe('');
  });
});

describe('a remote copy', () => {
  const remote = (keptBytesMax = 100) =>
    new Copy({
      base: { epoch, lsn: 5 },
      records: [record(6)],
      committed: 6,
      lasting: { keptBytesMax },
    });

  it('goes on from a record that a store holds, and copies where it holds none', () => {
    const copy = remote();
    expect(copy.step({ type: 'up', store: 'a' })).toBe('send:a:5</5');
    expect(copy.step({ type: 'acked', store: 'a', lsn: 5 })).toBe('send:a:5<6/6');
    expect(copy.step({ type: 'up', store: 'b' })).toBe('send:b:5</5');
    expect(copy.step({ type: 'gap', store: 'b' })).toBe('copy:b');
    expect(copy.step({ type: 'copied', store: 'b', lsn: 6 })).toBe('');
    expect(copy.copy.isNear).toBe(true);
    expect(copy.copy.isSettled).toBe(false);
  });

  it('tells what a majority lacks', () => {
    const copy = remote();
    const behind = () => [copy.copy.lag.records, copy.copy.lag.bytes];
    copy.step({ type: 'up', store: 'a' }, { type: 'acked', store: 'a', lsn: 5 });
    copy.step({ type: 'up', store: 'b' }, { type: 'acked', store: 'b', lsn: 5 });
    expect(behind()).toEqual([1, 10]);
    copy.step({ type: 'acked', store: 'a', lsn: 6 });
    expect(behind()).toEqual([1, 10]);
    copy.step({ type: 'acked', store: 'b', lsn: 6 });
    expect(behind()).toEqual([0, 0]);
  });

  it('keeps a few records for a store that is away, and then copies it anew', () => {
    const copy = remote(25);
    for (const store of ['a', 'b', 'c']) {
      copy.step({ type: 'up', store }, { type: 'acked', store, lsn: 5 });
      copy.step({ type: 'acked', store, lsn: 6 });
    }
    for (const store of ['b', 'c'])
      copy.step({ type: 'up', store }, { type: 'acked', store, lsn: 6 });
    copy.step({ type: 'down', store: 'c' });
    const commit = (lsn: number) => {
      copy.step({ type: 'append', record: record(lsn) }, { type: 'committed', lsn });
      for (const store of ['a', 'b']) copy.step({ type: 'acked', store, lsn });
    };
    for (const lsn of [7, 8]) commit(lsn);
    expect(copy.step({ type: 'up', store: 'c' })).toBe('send:c:6</6');
    expect(copy.step({ type: 'acked', store: 'c', lsn: 6 })).toBe('send:c:6<7,8/8');
    copy.step({ type: 'acked', store: 'c', lsn: 8 }, { type: 'down', store: 'c' });
    for (const lsn of [9, 10, 11, 12]) commit(lsn);
    expect(copy.copy.bytes).toBeLessThan(25);
    expect(copy.step({ type: 'up', store: 'c' })).not.toBe('send:c:8</8');
    expect(copy.step({ type: 'gap', store: 'c' })).toBe('copy:c');
  });

  it('is given up where a store fails again and again, to be begun anew later', () => {
    const copy = remote();
    const fail = () =>
      copy.step({ type: 'up', store: 'a' }, { type: 'gap', store: 'a' }).split(' ').at(-1);
    for (const _ of [1, 2]) expect(fail()).toBe('copy:a');
    expect(copy.step({ type: 'up', store: 'a' }, { type: 'gap', store: 'a' })).toMatch(
      /cannot be copied/,
    );
  });
});
