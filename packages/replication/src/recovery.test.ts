import type { Timers } from '@homing/base';
import { expect, test } from 'vitest';
import { Recovery } from './recovery.ts';

/** The timer that stands, and how often it was set. */
function recovering() {
  const heard: string[] = [];
  const state = { set: 0, due: undefined as (() => void) | undefined };
  const recovery = new Recovery({
    timers: {
      after: (_ms, run) => {
        state.set += 1;
        state.due = run;
        return {
          cancel: () => {
            if (state.due === run) state.due = undefined;
          },
        };
      },
    } as Timers,
    timeoutMs: 1000,
    expired: () => heard.push('expired'),
    resolve: () => heard.push('resolved'),
    reject: () => heard.push('rejected'),
  });
  return { recovery, state, heard };
}

test('what gets further is given more time, and what repeats itself is not', () => {
  const { recovery, state, heard } = recovering();
  for (const count of [1, 2, 1, 2, 3]) recovery.reached('pages', 's1', count);
  expect(state.set).toBe(4);
  recovery.reached('pages', 's2', 1);
  recovery.reached('records', 's1', 1);
  expect(state.set).toBe(6);
  state.due?.();
  expect(heard).toEqual(['expired']);
});

test('nothing expires once it is over', () => {
  for (const end of ['resolve', 'reject'] as const) {
    const { recovery, state } = recovering();
    recovery[end](undefined);
    expect(state.due).toBeUndefined();
  }
});
