/** The command lines `homing promote` and `homing force-home`: what they ask for, show and confirm. */
import type { RecordName } from '@homing/base';
import type { Promotion } from '@homing/protocol';
import type { HeardLag } from '@homing/replication';
import { adminsOf, ask, table } from './admin-client.ts';
import { type Parsed, parseFlags } from './flags.ts';
import {
  type CopyHere,
  carryOut,
  type PromotedObject,
  type PromotionPlan,
  planPromote,
  type recordOf,
  settle,
} from './promote.ts';
import { CommandError, UsageError } from './usage-error.ts';

/** Objects shown to people; programs get all. */
const shownMax = 50;

const commonFlags = {
  admin: { type: 'string', multiple: true },
  region: { type: 'string' },
  json: { type: 'boolean' },
  force: { type: 'boolean' },
  'lose-what-is-missing': { type: 'boolean' },
} as const;

export async function promote(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, commonFlags, 0);
  const lost = flags.text('region');
  if (lost === undefined) throw new UsageError('promote needs the --region that is lost');
  const admins = adminsOf(flags, 'promote');
  const plan = await planPromote(admins, lost);
  if (plan.promoted.length === 0 && plan.kept.length === 0) {
    throw new CommandError(`these nodes have no copy of any object at home in ${lost}`);
  }
  showPlan(flags, plan);
  confirm(
    flags,
    `If region ${lost} is lost for good, and what did not reach the copies may be lost`,
  );
  const objects = plan.promoted.map(({ id, to }): PromotedObject => {
    const { namespace, recordHome, recordEpoch } = plan.copies.get(id) as CopyHere;
    return { namespace, id, to, recordHome, recordEpoch };
  });
  const promoted = await carryOut(admins[0] as string, lost, objects, flags.isSet('force'));
  const open = await settle(plan, plan.promoted);
  if (open.size === 0) {
    if (!flags.isSet('json')) {
      console.log(
        `\n${promoted} objects were promoted; a majority of its new set has each of them`,
      );
    }
    return 0;
  }
  const rows = [...open].map(([id, why]) => ({ id, why }));
  if (!flags.isSet('json')) console.log(`\nnot settled:\n${table(rows.slice(0, shownMax))}`);
  throw new CommandError(
    `${promoted} objects were promoted; ${open.size} of them may not be at a majority of their new set yet: ` +
      `lose no node of it. Each is settled when it is called. The first is ${rows[0]?.id}: ${rows[0]?.why}`,
  );
}

function showPlan(flags: Parsed, { promoted, kept, copies, heard }: PromotionPlan): void {
  const row = (one: Promotion) => {
    const copy = copies.get(one.id) as CopyHere;
    return {
      namespace: copy.shownNamespace,
      id: one.id,
      name: copy.name,
      to: one.to,
      copy: nameOf(one.copy),
      newest: nameOf(one.newest),
      lastOwnersEpoch: copy.recordHome === null ? null : copy.recordEpoch,
      ofLastOwner: one.isOfLastOwner ? 'yes' : 'unknown',
      behind: behindOf(heard.get(one.id)),
    };
  };
  const shown = { promoted: promoted.map(row), kept: kept.map(row) };
  if (flags.isSet('json')) {
    console.log(JSON.stringify(shown, undefined, 2));
    return;
  }
  console.log(`${promoted.length} objects, and what there is of each (epoch/LSN) at least:`);
  console.log(table(shown.promoted.slice(0, shownMax)));
  if (kept.length > 0) {
    console.log(`\n${kept.length} objects stay as they are: too few nodes have a copy of them`);
    console.log(table(shown.kept.slice(0, shownMax)));
  }
  if (Math.max(promoted.length, kept.length) > shownMax) console.log('… --json shows all of them');
}

function behindOf(heard: HeardLag | undefined): string {
  if (heard === undefined) return 'unknown';
  return `${heard.seconds.toFixed(1)} s at ${new Date(heard.atMs).toISOString()}`;
}

function nameOf({ epoch, lsn }: RecordName): string {
  return `${epoch}/${lsn}`;
}

function confirm(flags: Parsed, condition: string): void {
  if (flags.isSet('lose-what-is-missing')) return;
  throw new CommandError(`nothing was changed. ${condition}, add --lose-what-is-missing`);
}

export async function forceHome(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, { ...commonFlags, name: { type: 'string' } }, 2);
  const [namespace, id] = flags.positionals;
  const name = flags.text('name');
  const region = flags.text('region');
  if (
    namespace === undefined ||
    region === undefined ||
    (id === undefined) === (name === undefined)
  ) {
    throw new UsageError('force-home takes a namespace, an id or --name, and the new --region');
  }
  const [admin] = adminsOf(flags, 'force-home') as [string];
  const which = name === undefined ? { id } : { name };
  const record = (await ask(admin, '/api/record', { namespace, region, ...which })) as Awaited<
    ReturnType<typeof recordOf>
  >;
  const shown = { namespace, id: record.id, home: record.home, to: region };
  console.log(flags.isSet('json') ? JSON.stringify(shown, undefined, 2) : table(shown));
  confirm(flags, `If region ${record.home} is lost for good, and with it all that the object held`);
  await carryOut(admin, record.home, [record], flags.isSet('force'));
  return 0;
}
