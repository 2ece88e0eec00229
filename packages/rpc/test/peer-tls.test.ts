import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { PeerNetworkOptions } from '../src/index.ts';
import { bytes, closeAll, type Node, startNode, until } from './peer-nodes.ts';

type Tls = Exclude<PeerNetworkOptions['tls'], 'insecure'>;

const isMissing = spawnSync('openssl', ['version']).error !== undefined;
if (isMissing)
  console.warn('openssl is not installed: the tests of TLS between nodes are left out');

let directory: string;
let ours: Record<'a' | 'b', Tls>;
let theirs: Record<'a' | 'b', Tls>;

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
}

/** A CA, and two certificates that it signed. */
function makeCluster(name: string): Record<'a' | 'b', Tls> {
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const ca = ['-keyout', `${name}.key`, '-out', `${name}.crt`, '-subj', `/CN=${name}`];
  openssl('req', '-x509', ...curve, ...ca, '-days', '2');
  const sign = (node: string): Tls => {
    const base = `${name}-${node}`;
    const request = ['-keyout', `${base}.key`, '-out', `${base}.csr`, '-subj', `/CN=${node}`];
    openssl('req', ...curve, ...request);
    writeFileSync(join(directory, `${base}.ext`), 'extendedKeyUsage=serverAuth,clientAuth\n');
    const by = ['-CA', `${name}.crt`, '-CAkey', `${name}.key`, '-CAcreateserial'];
    const extensions = ['-days', '2', '-extfile', `${base}.ext`];
    openssl('x509', '-req', '-in', `${base}.csr`, ...by, ...extensions, '-out', `${base}.crt`);
    const read = (file: string) => readFileSync(join(directory, file));
    return { ca: read(`${name}.crt`), cert: read(`${base}.crt`), key: read(`${base}.key`) };
  };
  return { a: sign('a'), b: sign('b') };
}

async function dial(
  tlsOfA: PeerNetworkOptions['tls'],
  tlsOfB: PeerNetworkOptions['tls'],
): Promise<{ a: Node; b: Node }> {
  const a = await startNode('a', { tls: tlsOfA });
  const b = await startNode('b', { tls: tlsOfB });
  a.network.setPeers([{ node: 'b', address: b.address }]);
  return { a, b };
}

describe.skipIf(isMissing)('TLS', () => {
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'homing-peer-tls-'));
    ours = makeCluster('ours');
    theirs = makeCluster('theirs');
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  afterEach(closeAll);

  test('certificates of one CA make links, whatever names they bear', async () => {
    const { a, b } = await dial(ours.a, ours.b);
    await until(() => a.network.stats().links === 2 && b.network.stats().links === 2);
    a.network.send('b', 'log', bytes('there'));
    b.network.send('a', 'log', new Uint8Array(3_000_000));
    await until(() => a.log.messages.length === 1 && b.log.messages.length === 1);
    expect(b.log.texts()).toEqual(['there']);
    expect(a.log.messages[0]?.length).toBe(3_000_000);
  });

  test('a shared certificate will do', async () => {
    const { a, b } = await dial(ours.a, ours.a);
    await until(() => a.network.stats().links === 2 && b.network.stats().links === 2);
  });

  const wrong: Record<string, () => [PeerNetworkOptions['tls'], PeerNetworkOptions['tls']]> = {
    'two clusters with a CA each': () => [theirs.a, ours.b],
    'a dialler that trusts the CA and shows a certificate of another': () => [
      { ...theirs.a, ca: ours.a.ca },
      ours.b,
    ],
    'a server that trusts the CA and shows a certificate of another': () => [
      ours.a,
      { ...theirs.b, ca: ours.b.ca },
    ],
    'a dialler without TLS': () => ['insecure', ours.b],
    'a server without TLS': () => [ours.a, 'insecure'],
  };
  test.each(Object.entries(wrong))('no link: %s', async (_name, tls) => {
    const { a, b } = await dial(...tls());
    await until(() => a.lines.of('peer: not reached').length === 1);
    await new Promise((resolve) => setTimeout(resolve, 200));
    for (const { network, log } of [a, b]) {
      expect(network.stats().links).toBe(0);
      expect(log.events).toEqual([]);
    }
  });

  test('no certificate, no connection', async () => {
    const b = await startNode('b', { tls: ours.b });
    const socket = connect({
      port: b.network.port,
      host: '127.0.0.1',
      ca: ours.b.ca,
      ALPNProtocols: ['h2'],
      checkServerIdentity: () => undefined,
    });
    const error = await new Promise<Error>((resolve) => socket.on('error', resolve));
    expect(error.message).toMatch(/certificate required|ECONNRESET|EPIPE/);
  });
});
