import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Deadlines } from './deadlines.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

test('who is late is told once, and who was answered is not', () => {
  const late: string[] = [];
  const deadlines = new Deadlines(8000);
  deadlines.add(() => late.push('first'));
  const answered = deadlines.add(() => late.push('answered'));
  vi.advanceTimersByTime(4000);
  deadlines.add(() => late.push('later'));
  answered.remove();
  vi.advanceTimersByTime(3000);
  expect(late).toEqual([]);
  vi.advanceTimersByTime(2000);
  expect(late).toEqual(['first']);
  vi.advanceTimersByTime(60_000);
  expect(late).toEqual(['first', 'later']);
  deadlines.stop();
  expect(vi.getTimerCount()).toBe(0);
});
