/**
 * A network of the kernel's own: a namespace for each process, joined by a bridge, all inside the
 * namespace of this process, which therefore must have one to itself (`unshare --net`). Links break
 * by dropped packets, as a cable or a switch breaks them: TCP sends again, times out, and never
 * learns who was at fault. Needs root, `ip` and `iptables`.
 *
 * Rules are those of `tcp-proxy.ts`, on connections from a source to a target's port; `delayMs` is
 * not among them. What was made is removed by `dispose`, and when this process exits.
 *
 * Called by `cluster.ts`, where the cluster is to run in namespaces.
 */
import { spawnSync } from 'node:child_process';
import type { LinkRules, Rule } from './tcp-proxy.ts';

/** Reserved for tests of networks (RFC 2544): in nobody's use. */
const subnet = '198.18.0';
const hostsMax = 250;
const bridge = 'homing0';

export class NetworkNamespaces {
  readonly #prefix = `homing-${process.pid}-`;
  /** Addresses by name. */
  readonly #hosts = new Map<string, string>();
  readonly #atExit = (): void => this.dispose();

  constructor() {
    run('ip', ['link', 'set', 'lo', 'up']);
    run('ip', ['link', 'add', bridge, 'type', 'bridge']);
    run('ip', ['address', 'add', `${subnet}.254/24`, 'dev', bridge]);
    run('ip', ['link', 'set', bridge, 'up']);
    process.once('exit', this.#atExit);
  }

  /** Makes a namespace for one host, and returns its address. */
  add(name: string): string {
    const number = this.#hosts.size + 1;
    if (number > hostsMax) throw new Error(`at most ${hostsMax} hosts`);
    const address = `${subnet}.${number}`;
    const namespace = this.#namespaceOf(name);
    const inside = (...args: string[]) => run('ip', ['-n', namespace, ...args]);
    run('ip', ['netns', 'add', namespace]);
    this.#hosts.set(name, address);
    const port = `homing${number}`;
    run('ip', ['link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace]);
    run('ip', ['link', 'set', port, 'master', bridge, 'up']);
    inside('link', 'set', 'lo', 'up');
    inside('address', 'add', `${address}/24`, 'dev', 'eth0');
    inside('link', 'set', 'eth0', 'up');
    return address;
  }

  /** What to start a host's process with: the command then runs under the pid that is started. */
  command(name: string): readonly string[] {
    return ['ip', 'netns', 'exec', this.#namespaceOf(name)];
  }

  /** Rules for connections to a port of a host; a host has one such port. */
  links(name: string, port: number): LinkRules {
    const rules = new Map<string, Rule>();
    const apply = () => {
      const lines = [...rules].flatMap(([source, rule]) =>
        packetRules(rule, this.#hosts.get(source) as string, port),
      );
      const table = ['*filter', ...lines, 'COMMIT', ''].join('\n');
      const [command = '', ...args] = [...this.command(name), 'iptables-restore', '--wait'];
      run(command, args, table);
    };
    return {
      set: (rule, source) => {
        if (rule.delayMs !== undefined) throw new Error('namespaces cannot delay packets');
        const sources = source === undefined ? this.#hosts.keys() : [source];
        for (const each of sources) rules.set(each, rule);
        apply();
      },
      heal: () => {
        rules.clear();
        apply();
      },
    };
  }

  /** Idempotent. */
  dispose(): void {
    process.off('exit', this.#atExit);
    for (const name of this.#hosts.keys()) {
      spawnSync('ip', ['netns', 'delete', this.#namespaceOf(name)]);
    }
    this.#hosts.clear();
    spawnSync('ip', ['link', 'delete', bridge]);
  }

  #namespaceOf(name: string): string {
    return `${this.#prefix}${name}`;
  }
}

/** True where a process may have a network of its own, and break it. */
export function mayUseNamespaces(): boolean {
  const probe = ['--net', 'sh', '-c', 'ip link set lo up && iptables --wait --list'];
  return spawnSync('unshare', probe, { stdio: 'ignore' }).status === 0;
}

/** At the host that accepted the connections. */
function packetRules(rule: Rule, source: string, port: number): string[] {
  const incoming = `-A INPUT -p tcp -s ${source} --dport ${port}`;
  const outgoing = `-A OUTPUT -p tcp -d ${source} --sport ${port}`;
  if (rule.cut === true) {
    // Resets themselves pass: those of these rules, and those that answer them.
    const rejected = '--tcp-flags RST NONE -j REJECT --reject-with tcp-reset';
    return [`${incoming} ${rejected}`, `${outgoing} ${rejected}`];
  }
  return [
    ...(rule.holdToTarget === true ? [`${incoming} -j DROP`] : []),
    ...(rule.holdToClient === true ? [`${outgoing} -j DROP`] : []),
  ];
}

function run(command: string, args: readonly string[], input?: string): void {
  const { status, stderr, error } = spawnSync(command, args, { input, encoding: 'utf8' });
  if (status === 0) return;
  throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr}`);
}
