/** What commands ask of a running node's admin port, and how its answers are shown. */
import { exchange } from './admin-exchange.ts';
import type { Parsed } from './flags.ts';
import { CommandError, UsageError } from './usage-error.ts';

export const defaultAdmin = 'http://127.0.0.1:8790';

type Row = Readonly<Record<string, unknown>>;

/** Rejects with `CommandError` where no node answers, or it answers with an error. */
export async function ask(admin: string, path: string, body?: object): Promise<unknown> {
  let status: number;
  let answered: string;
  try {
    ({ status, answered } = await exchange(new URL(path, admin), body));
  } catch {
    throw new CommandError(
      `no node answers at ${admin}: start one with \`homing dev\`, or give its address with --admin`,
    );
  }
  const answer = JSON.parse(answered) as unknown;
  if (status !== 200) {
    const { error } = answer as { error?: string };
    throw new CommandError(error ?? `the node answered ${status}`);
  }
  return answer;
}

/** Those that a command which needs several was given. Throws `UsageError`. */
export function adminsOf(flags: Parsed, command: string): readonly string[] {
  const admins = flags.texts('admin');
  if (admins.length === 0) {
    throw new UsageError(`${command} needs the --admin address of each node`);
  }
  for (const admin of admins) {
    if (!URL.canParse(admin)) throw new UsageError(`--admin must be a URL, as ${defaultAdmin}`);
  }
  return admins;
}

/** Rows under the names of their columns, or one value a line for a single thing. */
export function table(answer: unknown): string {
  if (!Array.isArray(answer)) return record(answer as Row);
  const rows = answer as readonly Row[];
  const first = rows[0];
  if (first === undefined) return 'none';
  const names = Object.keys(first);
  const lines = [names, ...rows.map((row) => names.map((name) => cell(row[name])))];
  const widths = names.map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  return lines
    .map((line) =>
      line
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function record(row: Row): string {
  const names = Object.keys(row);
  const width = Math.max(...names.map((name) => name.length));
  return names.map((name) => `${name.padEnd(width)}  ${cell(row[name])}`).join('\n');
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '-';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
