/**
 * A map that is made when something is put in. Sessions have several of them and come and go with
 * every request, most without ever using more than one.
 */
export class LazyMap<K, V> {
  #map: Map<K, V> | undefined;

  get size(): number {
    return this.#map === undefined ? 0 : this.#map.size;
  }

  get(key: K): V | undefined {
    return this.#map?.get(key);
  }

  has(key: K): boolean {
    return this.#map?.has(key) ?? false;
  }

  set(key: K, value: V): void {
    this.#map ??= new Map();
    this.#map.set(key, value);
  }

  delete(key: K): boolean {
    return this.#map?.delete(key) ?? false;
  }

  /** Takes all out, and returns them in the order they were put in. */
  drain(): V[] {
    if (this.#map === undefined) return [];
    const values = [...this.#map.values()];
    this.#map = undefined;
    return values;
  }
}
