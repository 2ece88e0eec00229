/** What a process does once it goes on. */
import { expect, test } from 'vitest';
import { Process, World } from '../src/world.ts';

function start() {
  const world = new World();
  const process = new Process(world, 1);
  const done: string[] = [];
  const say = (what: string) => process.run(() => done.push(what));
  return { world, process, done, say };
}

test('what comes to a process that goes on is behind what has waited for that', async () => {
  const { world, process, done, say } = start();
  process.pause();
  say('first');
  say('second');
  process.resume();
  say('third');
  expect(done).toEqual([]);
  await world.run(1);
  say('fourth');
  expect(done).toEqual(['first', 'second', 'third', 'fourth']);
});

test('a process that is paused again at once does in order what it has not done', async () => {
  const { world, process, done, say } = start();
  process.pause();
  say('first');
  process.resume();
  process.pause();
  say('second');
  await world.run(1);
  expect(done).toEqual([]);
  process.resume();
  await world.run(2);
  expect(done).toEqual(['first', 'second']);
});
