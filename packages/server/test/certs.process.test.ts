/** The certificates that deploy/certs/make-certs.sh makes, between two ends that check each other. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { afterAll, describe, expect, test } from 'vitest';
import { repository } from './compose-file.ts';
import { isInstalled } from './local-compose.ts';

describe.skipIf(!isInstalled('openssl'))('make-certs.sh', () => {
  const script = join(repository, 'deploy/certs/make-certs.sh');
  const dir = mkdtempSync(join(tmpdir(), 'homing-certs-'));

  afterAll(() => rmSync(dir, { recursive: true, force: true }));

  const make = (folder: string, ...names: string[]) =>
    spawnSync('sh', [script, join(dir, folder), ...names], { encoding: 'utf8' });
  const read = (file: string) => readFileSync(join(dir, file));
  const identity = (folder: string, name: string) => ({
    ca: read(`${folder}/ca.pem`),
    cert: read(`${folder}/${name}.pem`),
    key: read(`${folder}/${name}-key.pem`),
  });

  /** What the server knows the client as, or why one of the two refuses the other. */
  async function meet(server: object, client: object, servername: string): Promise<string> {
    const listener = createServer({ ...server, requestCert: true, rejectUnauthorized: false });
    const known = new Promise<string>((resolve) => {
      listener.on('secureConnection', (socket: TLSSocket) => {
        const { subject } = socket.getPeerCertificate();
        resolve(socket.authorized ? String(subject.CN) : String(socket.authorizationError));
        socket.destroy();
      });
      listener.on('tlsClientError', (error) => resolve(error.message));
    });
    await once(listener.listen(0, '127.0.0.1'), 'listening');
    const { port } = listener.address() as AddressInfo;
    const socket = connect({ ...client, host: '127.0.0.1', port, servername });
    // A client is done with the server before the server is done with it.
    const refusal = new Promise<string | undefined>((resolve) => {
      socket.on('secureConnect', () => resolve(undefined));
      socket.on('error', (error) => resolve(error.message));
    });
    try {
      return (await refusal) ?? (await known);
    } finally {
      socket.destroy();
      listener.close();
    }
  }

  test('its certificates serve both ends, for the names given, and no other cluster', async () => {
    expect(make('a', 'n1', 'pods,*.peers.svc,10.1.2.3').status).toBe(0);
    expect(make('b', 'n1').status).toBe(0);
    const [n1, pods, foreign] = [identity('a', 'n1'), identity('a', 'pods'), identity('b', 'n1')];
    expect(await meet(n1, pods, 'n1')).toBe('pods');
    expect(await meet(pods, n1, 'p-0.peers.svc')).toBe('n1');
    expect(await meet(pods, n1, 'elsewhere')).toContain('does not match');
    expect(await meet(n1, { ...foreign, ca: n1.ca }, 'n1')).toMatch(/SIGNATURE|UNABLE/);
    expect(await meet(n1, { ca: n1.ca }, 'n1')).toBe('UNABLE_TO_GET_ISSUER_CERT');
  });

  test('again, it makes what is missing and keeps the rest', () => {
    const before = ['a/ca.pem', 'a/n1.pem', 'a/n1-key.pem'].map((file) => read(file));
    expect(make('a', 'n1', 'n2').stdout).toMatch(/^made \S+n2\.pem for n2\n$/);
    expect(['a/ca.pem', 'a/n1.pem', 'a/n1-key.pem'].map((file) => read(file))).toEqual(before);
    expect(statSync(join(dir, 'a/n2-key.pem')).mode & 0o077).toBe(0);
  });

  test('says what it lacks', () => {
    expect(make('a')).toMatchObject({ status: 1, stderr: expect.stringMatching(/usage/) });
    rmSync(join(dir, 'a/ca-key.pem'));
    expect(make('a', 'n1').status).toBe(0);
    expect(make('a', 'n3')).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/ca-key\.pem is needed to make n3\.pem/),
    });
  });
});
