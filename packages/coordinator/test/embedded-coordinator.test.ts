/** The coordinator of a single node keeps to the port, also past 16 bits of grants in one run. */
import type { ObjectIdHex } from '@homing/base';
import { expect, test } from 'vitest';
import { embeddedCoordinator } from '../src/index.ts';
import { claim } from './claims.ts';
import { coordinatorConformance } from './conformance.ts';

let starts = 0;
const place = { node: 'n1', region: 'r', zone: 'z', storeId: '00' };
const open = () => embeddedCoordinator({ ...place, starts: ++starts });

coordinatorConformance('embedded', async () => open());

test('epochs grow past 65,536 grants, and stay below those of the next start', async () => {
  const first = open();
  const object = { namespace: 'w/C', id: '0b'.repeat(32) as ObjectIdHex };
  let newest = 0n;
  for (let grant = 0; grant < 2 ** 16 + 2; grant++) {
    const { epoch } = (await claim(first, object)).ownership;
    if (epoch <= newest) expect.fail(`grant ${grant}: ${epoch} after ${newest}`);
    newest = epoch;
  }
  expect((await claim(open(), object)).ownership.epoch > newest).toBe(true);
});
