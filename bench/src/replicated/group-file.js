/**
 * A file that records are appended to. Those that come while a write is under way share the next
 * write and fsync. Each record's `done` is called once it is on disk, in the order of the appends.
 */
import { open } from 'node:fs/promises';

export class GroupFile {
  /** @type {import('node:fs/promises').FileHandle} */
  #file;
  /** @type {{ bytes: Buffer; done: () => void }[]} */
  #waiting = [];
  #isWriting = false;

  /** @param {import('node:fs/promises').FileHandle} file */
  constructor(file) {
    this.#file = file;
  }

  /** @param {string} path */
  static async create(path) {
    return new GroupFile(await open(path, 'wx'));
  }

  /**
   * @param {Buffer} bytes
   * @param {() => void} done
   */
  append(bytes, done) {
    this.#waiting.push({ bytes, done });
    if (!this.#isWriting) void this.#write();
  }

  async #write() {
    this.#isWriting = true;
    while (this.#waiting.length > 0) {
      const group = this.#waiting;
      this.#waiting = [];
      await this.#file.write(Buffer.concat(group.map(({ bytes }) => bytes)));
      await this.#file.datasync();
      for (const { done } of group) done();
    }
    this.#isWriting = false;
  }
}
