/** Choices that a seed repeats: sfc32. One stream for each user of choices, so that none shifts another's. */

export class SeededRandom {
  readonly #state: Uint32Array;

  /** `stream` tells users of one seed apart. */
  constructor(seed: number, stream = 0) {
    this.#state = Uint32Array.of(seed, Math.floor(seed / 2 ** 32), stream, 1);
    for (let round = 0; round < 20; round++) this.#next();
  }

  /** Uniform in [0, 1). */
  number(): number {
    return this.#next() / 2 ** 32;
  }

  /** Uniform in [0, count). */
  below(count: number): number {
    return Math.floor(this.number() * count);
  }

  /** Uniform in [min, max). */
  between(min: number, max: number): number {
    return min + this.number() * (max - min);
  }

  /** Throws where there is nothing to choose from. */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('nothing to choose from');
    return items[this.below(items.length)] as T;
  }

  #next(): number {
    const state = this.#state;
    const [a = 0, b = 0, c = 0, counter = 0] = state;
    const result = (a + b + counter) >>> 0;
    state[3] = counter + 1;
    state[0] = b ^ (b >>> 9);
    state[1] = c + (c << 3);
    state[2] = ((c << 21) | (c >>> 11)) + result;
    return result;
  }
}
