/**
 * Serves a project with `homing dev`, as a user would start it, with its data in a temporary
 * directory and every port free. See `runner.ts` for the contract.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { type Child, startChild } from './child.ts';
import type { Runner } from './runner.ts';

const HOMING = fileURLToPath(new URL('../../server/bin/homing.js', import.meta.url));

export const homingRunner: Runner = {
  name: 'homing',
  async start(projectDir) {
    const data = mkdtempSync(join(tmpdir(), 'fidelity-homing-'));
    const serve = (port: number): Promise<Child> =>
      startChild({
        command: process.execPath,
        args: [HOMING, 'dev', projectDir, '--no-watch', '--data', data, ...ports(port)],
        readyFd: 1,
        portOf: readyPort,
      });
    let child: Child;
    try {
      child = await serve(0);
    } catch (error) {
      rmSync(data, { recursive: true, force: true });
      throw error;
    }
    const { port } = child;
    return {
      url: `http://127.0.0.1:${port}`,
      log: () => child.log(),
      restart: async () => {
        await child.kill();
        child = await serve(port);
      },
      stop: async () => {
        await child.kill();
        rmSync(data, { recursive: true, force: true });
      },
    };
  },
};

function ports(http: number): string[] {
  return ['--port', String(http), '--grpc-port', '0', '--admin-port', '0'];
}

function readyPort(line: string): number | null {
  const match = /ready http:\/\/127\.0\.0\.1:(\d+)/.exec(line);
  return match === null ? null : Number(match[1]);
}
