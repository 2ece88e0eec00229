/**
 * The files that deploy a cluster, read as what reads them would: do they fit each other, and what a
 * node accepts? compose.process.test.ts runs one of them.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type NodeConfig, readNodeConfig } from '@homing/config';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { type ComposeService, readCompose, repository } from './compose-file.ts';

const deploy = join(repository, 'deploy');

function seconds(text: string): number {
  const [, amount = '', unit] = /^(\d+)(s|m)$/.exec(text) ?? [];
  return Number(amount) * (unit === 'm' ? 60 : 1);
}

describe('docker-compose.yml', () => {
  const services = readCompose();
  const nodes = Object.entries(services).filter(([, { command }]) => command[0] === 'homing');
  const configs = new Map(
    nodes.map(([name, { environment }]) => [name, readNodeConfig({ env: environment, flags: {} })]),
  );
  const config = (name: string) => configs.get(name) as NodeConfig;

  test('has three nodes, each in a zone and on a volume of its own', () => {
    expect(nodes.map(([name]) => name)).toEqual(['n1', 'n2', 'n3']);
    expect(nodes.map(([name]) => config(name).node)).toEqual(['n1', 'n2', 'n3']);
    expect(nodes.map(([name]) => config(name).advertise.host)).toEqual(['n1', 'n2', 'n3']);
    expect(new Set(nodes.map(([name]) => config(name).zone)).size).toBe(3);
    for (const [name, { volumes }] of nodes) {
      const mount = volumes.find((one) => config(name).data.startsWith(`${one.target}/`));
      expect(mount).toMatchObject({ source: name, isReadOnly: false });
    }
  });

  test('publishes the ports that nodes listen on, ten further for each, and admin to this machine', () => {
    for (const [index, [name, { ports }]] of nodes.entries()) {
      const { http, grpc, admin } = config(name).listen;
      const offset = 10 * index;
      expect(ports).toEqual([
        `${http + offset}:${http}`,
        `${grpc + offset}:${grpc}`,
        `127.0.0.1:${admin + offset}:${admin}`,
      ]);
    }
  });

  test('gives a node longer to stop than it takes to drain', () => {
    for (const [name, { stopGracePeriod }] of nodes) {
      expect(seconds(stopGracePeriod ?? '10s') * 1000).toBeGreaterThan(config(name).drainTimeoutMs);
    }
  });

  test('asks the admin port whether a node is up, as the image does', () => {
    const image = readFileSync(join(deploy, 'Dockerfile'), 'utf8');
    const [, inImage = ''] = /HEALTHCHECK [^[]*(\[.*\])/.exec(image) ?? [];
    for (const [name, { healthcheck }] of nodes) {
      expect(healthcheck).toEqual(JSON.parse(inImage));
      expect(healthcheck?.join(' ')).toContain(
        `http://127.0.0.1:${config(name).listen.admin}/healthz`,
      );
    }
  });

  test('makes the certificates that nodes show', () => {
    const [program, dir, ...names] = services['certs']?.command ?? [];
    expect(program).toBe('make-certs.sh');
    for (const [name] of nodes) {
      expect(names).toContain(name);
      expect(config(name).tls.peer).toEqual({
        ca: `${dir}/ca.pem`,
        cert: `${dir}/${name}.pem`,
        key: `${dir}/${name}-key.pem`,
      });
    }
  });

  test('names a version of every image that it does not build', () => {
    const foreign = Object.values(services).filter((service) => !service.isBuilt);
    expect(foreign.length).toBe(2);
    for (const { image } of foreign) expect(image).toMatch(/:v\d+\.\d+\.\d+$/);
  });

  test('lets Prometheus find every node', () => {
    const { scrape_configs: jobs } = parse(
      readFileSync(join(deploy, 'prometheus/prometheus.yml'), 'utf8'),
    ) as { scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[] };
    const job = jobs.find((one) => one.job_name === 'homing');
    expect(job?.static_configs.flatMap((one) => one.targets)).toEqual(
      nodes.map(([name]) => `${name}:${config(name).listen.admin}`),
    );
  });

  test('runs a project that is in the image', () => {
    for (const [name, service] of nodes) {
      expect(existsSync(join(localPath(config(name).app), 'wrangler.jsonc'))).toBe(true);
      expect(dependencies(service)).toEqual(['certs', 'etcd']);
    }
  });
});

describe('deploy/kubernetes', () => {
  const folder = join(deploy, 'kubernetes');
  const kustomization = parse(readFileSync(join(folder, 'kustomization.yaml'), 'utf8')) as {
    namespace: string;
    resources: string[];
    configMapGenerator: { name: string; files: string[] }[];
  };
  const objects = kustomization.resources.flatMap((file) =>
    parseAllDocuments(readFileSync(join(folder, file), 'utf8')).map(
      (one) => one.toJS() as Manifest,
    ),
  );
  const find = (kind: string, name: string): Manifest => {
    const found = objects.find((one) => one.kind === kind && one.metadata.name === name);
    if (found === undefined) throw new Error(`no ${kind} ${name}`);
    return found;
  };
  const set = find('StatefulSet', 'homing').spec as StatefulSetSpec;
  const pod = set.template.spec;
  const [container] = pod.containers as [Container];
  const config = readNodeConfig({
    file: join(folder, 'homing.json'),
    env: environmentOf(container, {
      'metadata.name': 'homing-0',
      'spec.nodeName': 'ip-10-0-0-1.ec2',
    }),
    flags: {},
  });

  test('is all listed', () => {
    const files = readdirSync(folder).filter((file) => file.endsWith('.yaml'));
    expect(files.sort()).toEqual([...kustomization.resources, 'kustomization.yaml'].sort());
    expect(find('Namespace', kustomization.namespace)).toBeDefined();
  });

  test('starts a node with its file, and names it after its pod', () => {
    expect(container.command).toEqual(['homing', 'node', '--config', '/etc/homing/homing.json']);
    expect(container.volumeMounts).toContainEqual(
      expect.objectContaining({ mountPath: '/etc/homing/homing.json', subPath: 'homing.json' }),
    );
    expect(kustomization.configMapGenerator).toContainEqual({
      name: 'homing',
      files: ['homing.json'],
    });
    expect(config).toMatchObject({ node: 'homing-0', zone: 'ip-10-0-0-1.ec2' });
    expect(existsSync(join(localPath(config.app), 'wrangler.jsonc'))).toBe(true);
    // Kubernetes would add variables for the Service `homing`, and the node refuse them.
    expect(pod.enableServiceLinks).toBe(false);
  });

  test('lets every node be reached by name before it is ready', () => {
    const peers = find('Service', set.serviceName).spec as ServiceSpec;
    expect(peers).toMatchObject({ clusterIP: 'None', publishNotReadyAddresses: true });
    expect(config.advertise.host).toBe(
      `homing-0.${set.serviceName}.${kustomization.namespace}.svc`,
    );
    expect(peers.ports).toEqual([{ name: 'peer', port: config.listen.peer, targetPort: 'peer' }]);
    expect(set.podManagementPolicy).toBe('Parallel');
  });

  test('opens the ports that the node listens on, and to clients no more than two', () => {
    const { host: _, ...listen } = config.listen;
    const ports = container.ports.map(({ name, containerPort }) => [name, containerPort]);
    expect(Object.fromEntries(ports)).toEqual(listen);
    const clients = find('Service', 'homing').spec as ServiceSpec;
    expect(clients.ports.map(({ name, port }) => [name, port])).toEqual([
      ['http', listen.http],
      ['grpc', listen.grpc],
    ]);
    for (const service of [clients, find('Service', set.serviceName).spec as ServiceSpec]) {
      expect(set.template.metadata.labels).toMatchObject(service.selector);
    }
  });

  test('is probed at the admin port', () => {
    expect(container.livenessProbe?.httpGet).toEqual({ path: '/healthz', port: 'admin' });
    expect(container.startupProbe?.httpGet).toEqual({ path: '/healthz', port: 'admin' });
    expect(container.readinessProbe?.httpGet).toEqual({ path: '/readyz', port: 'admin' });
    const { annotations } = set.template.metadata;
    expect(annotations?.['prometheus.io/port']).toBe(String(config.listen.admin));
  });

  test('drains before it stops, and is given the time to', () => {
    expect(container.lifecycle?.preStop.exec.command.join(' ')).toContain(
      'homing drain "$HOMING_NODE"',
    );
    expect(pod.terminationGracePeriodSeconds * 1000).toBeGreaterThan(2 * config.drainTimeoutMs);
  });

  test('loses one node at a time, of as many as there are copies', () => {
    expect(set.replicas).toBe(config.replication.factor);
    const budget = find('PodDisruptionBudget', 'homing').spec as BudgetSpec;
    expect(budget.maxUnavailable).toBe(1);
    expect(set.template.metadata.labels).toMatchObject(budget.selector.matchLabels);
    expect(pod.topologySpreadConstraints.map((one) => one.topologyKey)).toEqual([
      'kubernetes.io/hostname',
      'topology.kubernetes.io/zone',
    ]);
  });

  test('mounts what the configuration names', () => {
    const mounts = container.volumeMounts.map((one) => one.mountPath);
    for (const file of Object.values(config.tls.peer ?? {})) {
      expect(mounts).toContain(file.slice(0, file.lastIndexOf('/')));
    }
    const data = container.volumeMounts.find((one) => config.data.startsWith(`${one.mountPath}/`));
    expect(set.volumeClaimTemplates.map((one) => one.metadata.name)).toContain(data?.name);
    const secrets = pod.volumes.flatMap((one) => one.secret?.secretName ?? []);
    expect(secrets).toEqual(['homing-peer-tls']);
    expect(readFileSync(join(deploy, 'README.md'), 'utf8')).toContain(
      'create secret generic homing-peer-tls',
    );
  });

  test('has the etcd that the nodes ask', () => {
    const etcd = find('StatefulSet', 'etcd').spec as StatefulSetSpec;
    const members = Array.from({ length: etcd.replicas }, (_, index) => `etcd-${index}`);
    const host = (member: string) => `${member}.${etcd.serviceName}.${kustomization.namespace}.svc`;
    expect(config.etcd.endpoints).toEqual(members.map((one) => `http://${host(one)}:2379`));
    const all = members.map((one) => `${one}=http://${host(one)}:2380`).join(',');
    expect(etcd.template.spec.containers[0]?.command).toContain(`--initial-cluster=${all}`);
    expect(find('NetworkPolicy', 'etcd')).toBeDefined();
  });
});

/** Where something of the image is in this checkout. */
function localPath(path: string): string {
  return path.replace(/^\/opt\/homing(?=\/|$)/, repository);
}

function dependencies(service: ComposeService): string[] {
  return Object.keys(service.dependsOn).sort();
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: unknown;
}

interface StatefulSetSpec {
  readonly serviceName: string;
  readonly replicas: number;
  readonly podManagementPolicy: string;
  readonly volumeClaimTemplates: readonly { readonly metadata: { readonly name: string } }[];
  readonly template: {
    readonly metadata: {
      readonly labels: Record<string, string>;
      readonly annotations?: Record<string, string>;
    };
    readonly spec: {
      readonly enableServiceLinks: boolean;
      readonly terminationGracePeriodSeconds: number;
      readonly topologySpreadConstraints: readonly { readonly topologyKey: string }[];
      readonly volumes: readonly { readonly secret?: { readonly secretName: string } }[];
      readonly containers: readonly Container[];
    };
  };
}

interface Container {
  readonly command: readonly string[];
  readonly env: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: { readonly fieldRef: { readonly fieldPath: string } };
  }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  readonly livenessProbe?: { readonly httpGet: object };
  readonly startupProbe?: { readonly httpGet: object };
  readonly readinessProbe?: { readonly httpGet: object };
  readonly lifecycle?: { readonly preStop: { readonly exec: { readonly command: string[] } } };
}

interface ServiceSpec {
  readonly selector: Record<string, string>;
  readonly ports: readonly { readonly name: string; readonly port: number }[];
}

interface BudgetSpec {
  readonly maxUnavailable: number;
  readonly selector: { readonly matchLabels: Record<string, string> };
}

/** The variables of a container, given what its pod says of itself. */
function environmentOf(
  container: Container,
  fields: Readonly<Record<string, string>>,
): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const { name, value, valueFrom } of container.env) {
    environment[name] =
      value?.replace(/\$\((\w+)\)/g, (_, other: string) => environment[other] ?? '') ??
      fields[valueFrom?.fieldRef.fieldPath ?? ''] ??
      '';
  }
  return environment;
}
