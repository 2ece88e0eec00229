/** `seeds.txt`: seeds that once failed, kept for ever. A line is a seed and why it is there. */

export function parseSeeds(text: string): readonly number[] {
  const seeds: number[] = [];
  for (const line of text.split('\n')) {
    const [seed] = line.split('#');
    if (seed === undefined || seed.trim() === '') continue;
    const number = Number(seed);
    if (!Number.isSafeInteger(number)) throw new TypeError(`not a seed: ${line}`);
    seeds.push(number);
  }
  return seeds;
}
