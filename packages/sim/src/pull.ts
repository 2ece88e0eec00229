/**
 * From which region an object is called, where objects move toward their callers.
 *
 * Used by the workload, for each call anew.
 */

/** alike: from two regions, nearly as often; turns: from one region, then from the other; any: from all. */
export type Pull = 'alike' | 'turns' | 'any';

/** Calls of one spell, in which one of two regions is a little ahead. */
const spellCalls = 150;
/** Of 20 calls these come from the region that is ahead: less than hysteresis asks for. */
const aheadOfTwenty = 11;

/** The region of an object's `number`-th call; undefined for whichever. */
export function pullOf(
  pull: Pull,
  regions: readonly string[],
  { number, nowMs, spellMs }: { number: number; nowMs: number; spellMs: number },
): string | undefined {
  if (pull === 'any') return undefined;
  if (pull === 'turns') return regions[Math.floor(nowMs / spellMs) % regions.length];
  const ahead = Math.floor(number / spellCalls) % 2;
  const isAhead = (number * 9) % 20 < aheadOfTwenty;
  return regions[isAhead ? ahead : 1 - ahead];
}
