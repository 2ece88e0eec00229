import { namedObjectId, placementTag, uniqueObjectId } from '@homing/base';
import { describe, expect, it } from 'vitest';
import { defaultHome, mayLiveIn, nextRegions, noRegionPlan } from './homes.ts';

const key = 'worker/Class';
const plan = { regions: [], jurisdictions: { law: ['eu', 'ch'] } };
const first = nextRegions(undefined, ['us', 'eu', 'us'], plan).list!;
const later = nextRegions(first, ['ap'], { ...plan, jurisdictions: { law: ['is'] } }).list!;
const names = Array.from({ length: 400 }, (_, index) => namedObjectId(key, `n${index}`));

describe('the list of regions', () => {
  it('begins with the regions of the nodes, or with those that are configured, in their order', () => {
    expect(first).toEqual({
      regions: ['eu', 'us'],
      named: 2,
      jurisdictions: { law: { regions: ['eu', 'ch'], named: 2 } },
    });
    const configured = { regions: ['us', 'ap'], jurisdictions: {} };
    expect(nextRegions(undefined, ['us', 'eu'], configured).list).toEqual({
      regions: ['us', 'ap', 'eu'],
      named: 3,
      jurisdictions: {},
    });
  });

  it('is appended to, and says when there is nothing to write', () => {
    expect(later.regions).toEqual(['eu', 'us', 'ap']);
    expect(later.named).toBe(2);
    expect(later.jurisdictions.law).toEqual({ regions: ['eu', 'ch', 'is'], named: 2 });
    expect(nextRegions(later, ['us'], noRegionPlan).list).toBeUndefined();
    expect(nextRegions(undefined, [], noRegionPlan).list).toBeUndefined();
  });

  it('takes no region whose tag another has', () => {
    const tags = new Map<number, string>();
    let clash: [string, string] | undefined;
    for (let index = 0; clash === undefined; index++) {
      const tag = placementTag(`r${index}`);
      const other = tags.get(tag);
      if (other !== undefined) clash = [other, `r${index}`];
      tags.set(tag, `r${index}`);
    }
    const { list, refused } = nextRegions(undefined, clash, { ...noRegionPlan, regions: clash });
    expect(list?.regions).toEqual([clash[0]]);
    expect(refused).toEqual([clash[1]]);
  });
});

describe('a default home', () => {
  it('is where a unique id was made', () => {
    for (const region of later.regions) {
      expect(defaultHome(uniqueObjectId(key, region), later)).toBe(region);
    }
    expect(defaultHome(uniqueObjectId(key, 'ap'), first)).toBeUndefined();
  });

  it('of a name does not change when regions come', () => {
    const homes = names.map((id) => defaultHome(id, first));
    expect(names.map((id) => defaultHome(id, later))).toEqual(homes);
    expect(homes.filter((home) => home === 'eu').length).toBeGreaterThan(120);
    expect(homes.filter((home) => home === 'us').length).toBeGreaterThan(120);
  });

  it('stays in the jurisdiction, whoever made the id, and as it began', () => {
    for (let index = 0; index < 50; index++) {
      const id = namedObjectId(key, `n${index}`, 'law');
      const home = defaultHome(id, first)!;
      expect(['eu', 'ch']).toContain(home);
      expect(defaultHome(id, later)).toBe(home);
      const elsewhere = uniqueObjectId(key, 'us', 'law');
      expect(['eu', 'ch']).toContain(defaultHome(elsewhere, later));
    }
    expect(defaultHome(uniqueObjectId(key, 'ch', 'law'), later)).toBe('ch');
    expect(defaultHome(namedObjectId(key, 'n', 'unknown'), later)).toBeUndefined();
  });

  it('is not the only one: an object may live where its jurisdiction allows', () => {
    const id = namedObjectId(key, 'n', 'law');
    expect([mayLiveIn(id, 'is', first), mayLiveIn(id, 'is', later)]).toEqual([false, true]);
    expect(mayLiveIn(id, 'us', later)).toBe(false);
    expect(mayLiveIn(names[0]!, 'us', later)).toBe(true);
    expect(mayLiveIn(names[0]!, 'mars', later)).toBe(false);
  });
});
