import { expect, test } from 'vitest';
import { hiddenSlot } from './hidden-slot.ts';

test('a slot is on the object itself, where nobody else sees it', () => {
  const names = hiddenSlot<string>();
  const ages = hiddenSlot<number>();
  const trapped: string[] = [];
  const target = () => {};
  const proxy = new Proxy(target, {
    get: (_target, name) => trapped.push(String(name)),
    has: (_target, name) => trapped.push(String(name)) > 0,
    defineProperty: () => false,
  });
  for (const object of [proxy, Object.freeze({}), Promise.resolve()]) {
    const keys = Reflect.ownKeys(object);
    expect(names.has(object)).toBe(false);
    names.set(object, 'first');
    names.set(object, 'second');
    expect(names.get(object)).toBe('second');
    expect(ages.get(object)).toBeUndefined();
    expect(Reflect.ownKeys(object)).toEqual(keys);
  }
  expect(names.get(target)).toBeUndefined();
  expect(names.get(new Proxy(proxy, {}))).toBeUndefined();
  expect(trapped).toEqual([]);
});
