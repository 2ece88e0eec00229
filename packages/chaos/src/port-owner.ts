/**
 * Which process holds a local TCP port: how a proxy tells the nodes that connect to it apart, which
 * all come from one address. Reads /proc, so it is for Linux; elsewhere nobody is known.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** The process among `pids` that has a TCP socket bound to 127.0.0.1:`port`. */
export function ownerOfPort(port: number, pids: readonly number[]): number | undefined {
  const inodes = new Set([...inodesOf('/proc/net/tcp', port), ...inodesOf('/proc/net/tcp6', port)]);
  if (inodes.size === 0) return undefined;
  return pids.find((pid) => holdsAny(pid, inodes));
}

/** A row: `sl local_address rem_address st queues timer retransmits uid timeout inode …`. */
function inodesOf(table: string, port: number): string[] {
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  let text: string;
  try {
    text = readFileSync(table, 'utf8');
  } catch {
    return [];
  }
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = '']) => local.endsWith(`:${hexPort}`))
    .flatMap(([, , , , , , , , , inode]) => (inode === undefined ? [] : [`socket:[${inode}]`]));
}

function holdsAny(pid: number, inodes: ReadonlySet<string>): boolean {
  const directory = `/proc/${pid}/fd`;
  try {
    return readdirSync(directory).some((fd) => {
      try {
        return inodes.has(readlinkSync(`${directory}/${fd}`));
      } catch {
        return false;
      }
    });
  } catch {
    return false;
  }
}
