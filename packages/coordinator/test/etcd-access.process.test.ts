/** An etcd that wants TLS, or a user and a password. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { claim } from './claims.ts';
import { objectNumber } from './cluster-conformance.ts';
import { etcdMissing, TestEtcd, until } from './etcd.ts';
import { openNode } from './etcd-cluster.ts';

describe.skipIf(etcdMissing)('TLS', () => {
  const directory = mkdtempSync(join(tmpdir(), 'homing-certificates-'));
  const file = (name: string) => join(directory, name);
  const openssl = (...args: string[]) =>
    execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  let etcd: TestEtcd;

  beforeAll(async () => {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test');
    writeFileSync(
      file('extensions'),
      'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n',
    );
    for (const name of ['server', 'client']) {
      openssl(
        'req',
        ...key,
        '-keyout',
        `${name}.key`,
        '-out',
        `${name}.csr`,
        '-subj',
        `/CN=${name}`,
      );
      const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'];
      const made = ['-in', `${name}.csr`, '-out', `${name}.pem`, '-extfile', 'extensions'];
      openssl('x509', '-req', ...signed, ...made);
    }
    const tls = { ca: file('ca.pem'), cert: file('server.pem'), key: file('server.key') };
    etcd = await new TestEtcd({ tls }).start();
  });
  afterAll(async () => {
    await etcd.remove();
    rmSync(directory, { recursive: true, force: true });
  });

  const tls = () => ({
    ca: readFileSync(file('ca.pem')),
    cert: readFileSync(file('client.pem')),
    key: readFileSync(file('client.key')),
  });

  test('a certificate that etcd trusts is let in', async () => {
    const node = await openNode('a', { endpoints: [etcd.endpoint], tls: tls() });
    expect((await claim(node, objectNumber(1))).outcome).toBe('granted');
    await node.close();
  });

  test('without one, or where etcd’s own is not trusted, a node does not start', async () => {
    const { ca, cert, key } = tls();
    const limits = { startTimeoutMs: 500 };
    const endpoints = [etcd.endpoint];
    const refused = { code: 'unavailable' };
    await expect(openNode('a', { endpoints, limits, tls: { ca } })).rejects.toMatchObject(refused);
    const unknown = openNode('a', { endpoints, limits, tls: { cert, key } });
    await expect(unknown).rejects.toMatchObject(refused);
  });

  test('TLS and plain endpoints do not mix', async () => {
    const plain = openNode('a', { endpoints: ['127.0.0.1:1'], tls: tls() });
    await expect(plain).rejects.toMatchObject({ code: 'invalid_argument' });
    const mixed = openNode('a', { endpoints: [etcd.endpoint, '127.0.0.1:1'], tls: tls() });
    await expect(mixed).rejects.toMatchObject({ code: 'invalid_argument' });
  });
});

describe.skipIf(etcdMissing).each(['simple', 'jwt'])('users with %s tokens', (tokens) => {
  const directory = mkdtempSync(join(tmpdir(), 'homing-tokens-'));
  let etcd: TestEtcd;
  const root = ['--user', 'root:secret'];
  const credentials = { username: 'homing', password: 'secret' };

  beforeAll(() => {
    const options = { cwd: directory, stdio: 'pipe' } as const;
    execFileSync('openssl', ['genrsa', '-out', 'jwt.key', '2048'], options);
    execFileSync('openssl', ['rsa', '-in', 'jwt.key', '-pubout', '-out', 'jwt.pub'], options);
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  beforeEach(async () => {
    etcd = await new TestEtcd(tokens === 'jwt' ? { jwt: directory } : {}).start();
    etcd.etcdctl('user', 'add', 'root:secret');
    etcd.etcdctl('user', 'add', 'homing:secret');
    etcd.etcdctl('role', 'add', 'homing');
    etcd.etcdctl('role', 'grant-permission', 'homing', '--prefix=true', 'readwrite', '/homing/');
    etcd.etcdctl('user', 'grant-role', 'homing', 'homing');
    etcd.etcdctl('user', 'grant-role', 'root', 'root');
    etcd.etcdctl('auth', 'enable');
  });
  afterEach(() => etcd.remove());

  test('a user with a role for the prefix is all that is needed', async () => {
    const node = await openNode('a', { endpoints: [etcd.endpoint], credentials });
    const { ownership } = await claim(node, objectNumber(1));
    await until('it is the controller', () => node.isController);
    await node.release(objectNumber(1), ownership.epoch);
    await node.close();
    const left = etcd.etcdctl(...root, 'get', '', '--prefix', '--keys-only').trim();
    expect(left).toBe('/homing/witnesses/store-a');
  });

  test('etcd forgets logins when it restarts, or its users change: the node logs in again', async () => {
    const options = { endpoints: [etcd.endpoint], credentials, sessionTtlMs: 4000 };
    const node = await openNode('a', options);
    const before = node.self;
    const claims = (number: number) => () =>
      claim(node, objectNumber(number)).then(
        ({ outcome }) => outcome === 'granted',
        () => false,
      );
    await etcd.kill();
    await etcd.start();
    await until('it claims', claims(1));
    etcd.etcdctl(...root, 'user', 'add', 'other:secret');
    await until('it claims', claims(2));
    const other = await openNode('b', options);
    await until('it is followed', () => node.nodes().length === 2);
    // Longer than a session without a renewal, and than a token lives.
    await new Promise((resolve) => setTimeout(resolve, 5000));
    await until('it claims', claims(3));
    expect(node.self).toEqual(before);
    await Promise.all([node.close(), other.close()]);
  });

  test('a wrong password, no user, or a prefix without permission: says which, at once', async () => {
    const endpoints = [etcd.endpoint];
    const wrong = openNode('a', { endpoints, credentials: { ...credentials, password: 'no' } });
    await expect(wrong).rejects.toMatchObject({ code: 'unauthenticated' });
    await expect(openNode('a', { endpoints })).rejects.toMatchObject({ code: 'unauthenticated' });
    const elsewhere = openNode('a', { endpoints, credentials, prefix: '/other/' });
    await expect(elsewhere).rejects.toMatchObject({
      code: 'permission_denied',
      message: expect.stringContaining('role'),
    });
  });
});
