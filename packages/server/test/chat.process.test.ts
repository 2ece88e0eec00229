/**
 * The chat example in a real browser: two windows talk, the process is killed and started again, and
 * the history is there. Skipped where no Chromium is installed.
 */
import { existsSync } from 'node:fs';
import { chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePorts } from '../../chaos/src/free-ports.ts';
import { example, Program } from './program.ts';

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync);

let program: Program;

beforeAll(async () => {
  // The pages must find it again after the restart, so its port stays.
  const [port] = await freePorts(1);
  program = await Program.start(example('chat'), '--no-watch', '--port', String(port));
});

afterAll(() => program.dispose());

async function join(page: Page, name: string): Promise<void> {
  await page.goto(program.url('/'));
  await page.fill('#name', name);
  await page.fill('#room', 'test');
  await page.click('#join');
  await page.getByText(name).first().waitFor();
}

async function say(page: Page, text: string): Promise<void> {
  await page.fill('#message', text);
  await page.click('#send');
}

test.skipIf(executablePath === undefined)('two windows chat, through a kill -9', async () => {
  const browser = await chromium.launch({
    executablePath: executablePath ?? '',
    args: ['--no-sandbox'],
  });
  try {
    const ada = await (await browser.newContext()).newPage();
    const bob = await (await browser.newContext()).newPage();
    await join(ada, 'Ada');
    await join(bob, 'Bob');
    await ada.locator('#people', { hasText: 'Ada, Bob' }).waitFor();
    await say(ada, 'is anybody here?');
    await bob.locator('#log li', { hasText: 'is anybody here?' }).waitFor();
    await say(bob, 'I am');
    await ada.locator('#log li', { hasText: 'I am' }).waitFor();

    await program.kill();
    await ada.locator('#state', { hasText: 'offline' }).waitFor();
    await program.start();
    await ada.locator('#state', { hasText: 'connected' }).waitFor();
    await bob.locator('#state', { hasText: 'connected' }).waitFor();
    await say(ada, 'back again');
    await bob.locator('#log li', { hasText: 'back again' }).waitFor();

    const late = await (await browser.newContext()).newPage();
    await join(late, 'Late');
    const history = late.locator('#log li');
    await history.nth(2).waitFor();
    const texts = await history.allTextContents();
    expect(texts.map((text) => text.replace(/\d.*$/, ''))).toEqual([
      expect.stringContaining('is anybody here?'),
      expect.stringContaining('I am'),
      expect.stringContaining('back again'),
    ]);
  } finally {
    await browser.close();
  }
});
