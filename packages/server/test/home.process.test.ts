/**
 * The chat example in a cluster of two regions, in a real browser: a room moves to the people who write,
 * their page shows that it has come near, and no window loses its connection. Skipped where there is no
 * etcd or no Chromium.
 */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { example } from './program.ts';
import { hasEtcd, TestCluster } from './test-cluster.ts';

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync);
const isPossible = hasEtcd && executablePath !== undefined;
const rttMs = 80;
/** Rooms move sooner than people would have it. */
const quick = {
  HOMING_MIGRATION_WINDOW_MS: '5000',
  HOMING_MIGRATION_MINIMUM_STAY_MS: '2000',
  HOMING_MIGRATION_PING_MS: '500',
};
/** Between two lines of one person. */
const pauseMs = 300;
const timeoutMs = 120_000;

let cluster: TestCluster;

beforeAll(async () => {
  if (!isPossible) return;
  const regions = ['--regions', 'eu,us', '--rtt', String(rttMs)];
  cluster = await TestCluster.startWith(quick, example('chat'), '--nodes', '6', ...regions);
}, timeoutMs);

afterAll(() => cluster?.dispose());

/** A window that is in the room, with the number of connections it has lost. */
class Person {
  readonly page: Page;
  readonly name: string;
  lost = 0;

  private constructor(page: Page, name: string) {
    this.page = page;
    this.name = name;
    page.on('websocket', (socket) => socket.on('close', () => this.lost++));
  }

  static async join(page: Page, node: string, name: string): Promise<Person> {
    const person = new Person(page, name);
    await page.goto(`http://${cluster.node(node).http}/`);
    await page.fill('#name', name);
    await page.fill('#room', 'moving');
    await page.click('#join');
    await page.locator('#people', { hasText: name }).waitFor({ timeout: timeoutMs });
    return person;
  }

  async say(text: string): Promise<void> {
    await this.page.fill('#message', text);
    await this.page.click('#send');
    await this.page.locator('#log li', { hasText: text }).waitFor({ timeout: timeoutMs });
  }

  /** Writes until the room is in the region, and no region's distance away. */
  async writeUntil(region: string): Promise<number> {
    for (let line = 1; ; line++) {
      await this.say(`${this.name} writes ${line}.`);
      const place = (await this.page.textContent('#place')) ?? '';
      const [, home, away] = /^room in (\S+), ([\d.]+) ms away$/.exec(place) ?? [];
      if (home === region && Number(away) < rttMs / 2) return line;
      await sleep(pauseMs);
    }
  }
}

test.skipIf(!isPossible)(
  'a room moves to those who write, and no window loses its connection',
  async () => {
    const browser = await chromium.launch({
      executablePath: executablePath ?? '',
      args: ['--no-sandbox'],
    });
    try {
      const newPage = async () => (await browser.newContext()).newPage();
      const ada = await Person.join(await newPage(), 'n1', 'Ada');
      const byAda = await ada.writeUntil('eu');
      const bob = await Person.join(await newPage(), 'n2', 'Bob');
      const byBob = await bob.writeUntil('us');
      // Ada sat by: she has seen all that was written, in order, while the room moved away.
      const written = (name: string, lines: number) =>
        Array.from({ length: lines }, (_, line) => `${name} writes ${line + 1}.`);
      const all = [...written('Ada', byAda), ...written('Bob', byBob)];
      for (const { page } of [ada, bob]) {
        await page
          .locator('#log li', { hasText: all.at(-1) ?? '' })
          .waitFor({ timeout: timeoutMs });
        const shown = await page.locator('#log li').allTextContents();
        expect(shown.map((text) => /(Ada|Bob) writes \d+\./.exec(text)?.[0])).toEqual(all);
      }
      expect([ada.lost, bob.lost]).toEqual([0, 0]);
    } finally {
      await browser.close();
    }
  },
  2 * timeoutMs,
);
