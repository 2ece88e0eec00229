/** What most tests ask of a coordinator: one region, where everything is at home by default. */
import type { ClaimAt, ClaimResult, Coordinator, ObjectRef, Ownership } from '@homing/base';

export const eu = { home: 'eu', isDefault: true };

export async function claim(
  coordinator: Coordinator,
  object: ObjectRef,
  at: ClaimAt = eu,
): Promise<Exclude<ClaimResult, { outcome: 'elsewhere' }>> {
  const result = await coordinator.claim(object, at);
  if (result.outcome === 'elsewhere') throw new Error(`at home in ${result.home}`);
  return result;
}

export async function locate(
  coordinator: Coordinator,
  object: ObjectRef,
): Promise<Ownership | undefined> {
  return (await coordinator.locate(object)).ownership;
}
