/** `tls.clients`: the http and grpc ports of a real node, to clients with and without a certificate. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { repository } from './compose-file.ts';
import { isInstalled } from './local-compose.ts';
import { example } from './program.ts';
import { hasEtcd, TestCluster } from './test-cluster.ts';

const isPossible = hasEtcd && isInstalled('openssl');

describe.skipIf(!isPossible)('clients with certificates (needs etcd and openssl)', () => {
  const certs = mkdtempSync(join(tmpdir(), 'homing-client-certs-'));
  const pem = (name: string) => readFileSync(join(certs, name));
  let cluster: TestCluster;

  beforeAll(async () => {
    const script = join(repository, 'deploy/certs/make-certs.sh');
    expect(spawnSync('sh', [script, certs, 'n1', 'app']).status).toBe(0);
    cluster = await TestCluster.start(example('counter'), '--nodes', '1');
    cluster.signal('n1', 'SIGTERM');
    const file = join(cluster.data, 'n1.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as { tls: object };
    const clients = {
      cert: join(certs, 'n1.pem'),
      key: join(certs, 'n1-key.pem'),
      ca: join(certs, 'ca.pem'),
    };
    writeFileSync(file, JSON.stringify({ ...config, tls: { insecure: true, clients } }));
    while (!cluster.output.includes('node n1 ended')) await new Promise((r) => setTimeout(r, 20));
    await cluster.restart('n1');
  });

  afterAll(() => {
    cluster.dispose();
    rmSync(certs, { recursive: true, force: true });
  });

  const identity = () => ({ ca: pem('ca.pem'), cert: pem('app.pem'), key: pem('app-key.pem') });

  async function post(tls: object): Promise<string> {
    const call = request(`https://${cluster.node('n1').http}/tls`, { method: 'POST', ...tls });
    call.end();
    const [response] = await once(call, 'response');
    let body = '';
    for await (const chunk of response) body += String(chunk);
    return body;
  }

  /** The protocol that both agreed on, once the server has accepted the client. */
  async function grpc(tls: object): Promise<string> {
    const [host, port] = cluster.node('n1').grpc.split(':');
    const socket: TLSSocket = connect({ host, port: Number(port), ALPNProtocols: ['h2'], ...tls });
    try {
      await once(socket, 'data');
      return String(socket.alpnProtocol);
    } finally {
      socket.destroy();
    }
  }

  test('one that shows a certificate of theirs is served', async () => {
    expect(JSON.parse(await post(identity()))).toEqual({ name: 'tls', value: 1 });
    expect(await grpc(identity())).toBe('h2');
  });

  test('one without is refused, on both ports', async () => {
    const anonymous = { ca: pem('ca.pem') };
    await expect(post(anonymous)).rejects.toThrow(/certificate required|ECONNRESET|socket hang up/);
    await expect(grpc(anonymous)).rejects.toThrow(/certificate required|ECONNRESET/);
  });

  test('one that speaks clear text is refused', async () => {
    await expect(fetch(`http://${cluster.node('n1').http}/tls`)).rejects.toThrow('fetch failed');
  });

  test('files that are no certificate end the node, and it says which', async () => {
    cluster.signal('n1', 'SIGKILL');
    writeFileSync(join(certs, 'n1-key.pem'), 'not a key');
    await expect(cluster.restart('n1')).rejects.toThrow(/tls\.clients: .*n1-key\.pem/s);
  });
});
