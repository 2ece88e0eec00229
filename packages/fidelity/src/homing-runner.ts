/**
 * Serves a project with `homing dev`, as a user would start it, with its data in a temporary
 * directory and every port free. See `runner.ts` for the contract.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { startChild } from './child.ts';
import type { Runner } from './runner.ts';

const HOMING = fileURLToPath(new URL('../../server/bin/homing.js', import.meta.url));

export const homingRunner: Runner = {
  name: 'homing',
  async start(projectDir) {
    const data = mkdtempSync(join(tmpdir(), 'fidelity-homing-'));
    const remove = () => rmSync(data, { recursive: true, force: true });
    const ports = ['--port', '0', '--grpc-port', '0', '--admin-port', '0'];
    try {
      const child = await startChild({
        command: process.execPath,
        args: [HOMING, 'dev', projectDir, '--no-watch', '--data', data, ...ports],
        readyFd: 1,
        portOf: readyPort,
      });
      return {
        url: `http://127.0.0.1:${child.port}`,
        log: () => child.log(),
        stop: async () => {
          await child.kill();
          remove();
        },
      };
    } catch (error) {
      remove();
      throw error;
    }
  },
};

function readyPort(line: string): number | null {
  const match = /ready http:\/\/127\.0\.0\.1:(\d+)/.exec(line);
  return match === null ? null : Number(match[1]);
}
