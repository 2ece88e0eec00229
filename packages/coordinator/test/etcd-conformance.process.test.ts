/** The etcd adapter keeps to the port, against a real etcd. */
import { afterAll, beforeAll, describe } from 'vitest';
import { clusterConformance } from './cluster-conformance.ts';
import { coordinatorConformance } from './conformance.ts';
import { etcdMissing, TestEtcd } from './etcd.ts';
import { type ClusterParts, clusterOn, openNode } from './etcd-cluster.ts';

describe.skipIf(etcdMissing)('etcd', () => {
  const etcd = new TestEtcd();
  beforeAll(async () => {
    await etcd.start();
  });
  afterAll(() => etcd.remove());

  coordinatorConformance('etcd', () => openNode('n1', { endpoints: [etcd.endpoint] }));

  let clusters = 0;
  clusterConformance('etcd', async (): Promise<ClusterParts> => {
    clusters += 1;
    return clusterOn(etcd, { prefix: `/cluster-${clusters}` });
  });
});
