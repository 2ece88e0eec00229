/**
 * A map from whole numbers, given out one after the other, to what they stand for: for what comes
 * and goes with every request. A `Map` begins a new table every few changes, and each refers to the
 * one after it, so that one that has reached V8's old generation keeps all that was in later ones;
 * see `Chain`.
 *
 * Open addressing with linear probing: numbers in a row fall into slots in a row. What is taken out
 * leaves no mark: what stands behind it moves up.
 */
const slotsMin = 256;

export class NumberTable<T> {
  #numbers: number[] = new Array(slotsMin).fill(-1);
  #values: (T | undefined)[] = new Array(slotsMin).fill(undefined);
  #mask = slotsMin - 1;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** `number` is whole and not negative, here and below. */
  get(number: number): T | undefined {
    return this.#values[this.#slotOf(number)];
  }

  set(number: number, value: T): void {
    const slot = this.#slotOf(number);
    if (this.#numbers[slot] === number) {
      this.#values[slot] = value;
      return;
    }
    this.#numbers[slot] = number;
    this.#values[slot] = value;
    this.#size++;
    if (this.#size * 2 > this.#mask) this.#resize((this.#mask + 1) * 2);
  }

  /** False where there was none. */
  delete(number: number): boolean {
    let hole = this.#slotOf(number);
    if (this.#numbers[hole] !== number) return false;
    const mask = this.#mask;
    for (let slot = (hole + 1) & mask; this.#numbers[slot] !== -1; slot = (slot + 1) & mask) {
      const home = this.#home(this.#numbers[slot] as number);
      // It may move to the hole where that is not before its home.
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      this.#numbers[hole] = this.#numbers[slot] as number;
      this.#values[hole] = this.#values[slot];
      hole = slot;
    }
    this.#numbers[hole] = -1;
    this.#values[hole] = undefined;
    this.#size--;
    if (mask >= slotsMin && this.#size * 8 < mask) this.#resize((mask + 1) / 2);
    return true;
  }

  /** What is in it, in no order. */
  values(): T[] {
    return this.#values.filter((value) => value !== undefined);
  }

  /** Where the number is, or the free slot where it would be. */
  #slotOf(number: number): number {
    const mask = this.#mask;
    let slot = this.#home(number);
    while (this.#numbers[slot] !== number && this.#numbers[slot] !== -1) slot = (slot + 1) & mask;
    return slot;
  }

  /** Halved, since each of two sides counts in steps of two. */
  #home(number: number): number {
    return Math.floor(number / 2) & this.#mask;
  }

  #resize(slots: number): void {
    const numbers = this.#numbers;
    const values = this.#values;
    this.#numbers = new Array(slots).fill(-1);
    this.#values = new Array(slots).fill(undefined);
    this.#mask = slots - 1;
    for (const [index, number] of numbers.entries()) {
      if (number === -1) continue;
      const slot = this.#slotOf(number);
      this.#numbers[slot] = number;
      this.#values[slot] = values[index];
    }
  }
}
