/**
 * The command line `homing recover`: collects what the nodes know, has homes written where there are several
 * regions, and then tells each node to trust its etcd. Where a region is given up it says first, object by
 * object, what is left, and does nothing until that was confirmed.
 */
import type { RecordName } from '@homing/base';
import { adminsOf, ask, table } from './admin-client.ts';
import { type Parsed, parseFlags } from './flags.ts';
import {
  type HomeFound,
  type HomesSource,
  homesFound,
  lacksHomes,
  writeHomes,
} from './recovered-homes.ts';
import { planRecovery, type RecoveryState } from './recovery.ts';
import { CommandError } from './usage-error.ts';

/** Objects shown to people; programs get all. */
const shownMax = 50;

export const recoverUsage = `homing recover --admin URL [--admin URL …]

Makes the nodes trust the etcd that they refuse, because it is not the one their disks know. Name the
admin address of every node that runs: they must hold a majority of the replicas of every object.

Where a region is lost for good as well, --lost-region gives it up: its objects come up where copies of them
are, and what these lack is lost. Without --lose-what-is-missing it then changes nothing: it lists the objects
and how far what is left of each goes.

  --admin URL               the admin address of a node; to be given again for each
  --off STORE               the node of this store is off and owns nothing; may be given again
  --lost-region REGION      give this region up; may be given again
  --lose-what-is-missing    do it
  --json                    for programs`;

export async function recover(args: readonly string[]): Promise<number> {
  const flags = parseFlags(
    args,
    {
      admin: { type: 'string', multiple: true },
      off: { type: 'string', multiple: true },
      'lost-region': { type: 'string', multiple: true },
      'lose-what-is-missing': { type: 'boolean' },
      json: { type: 'boolean' },
    },
    0,
  );
  const admins = adminsOf(flags, 'recover');
  const states = (await Promise.all(
    admins.map((admin) => ask(admin, '/api/recovery')),
  )) as RecoveryState[];
  if (states.every(({ refused }) => !refused)) {
    throw new CommandError('none of these nodes refuses its etcd: there is nothing to recover');
  }
  const plan = planRecovery(states, flags.texts('lost-region'));
  const source = { admins, states, plan, off: flags.texts('off') };
  if (lacksHomes(source)) {
    if (plan.lost.length > 0) await confirmLoss(flags, source);
    await writeHomes(source);
  }
  const highest = String(plan.highest);
  const shards = JSON.stringify(plan.shards);
  const answers: unknown[] = [];
  for (const [index, admin] of admins.entries()) {
    // Those that trust it already, as after a recovery that was cut short, are as they should be.
    if (states[index]?.refused === true) {
      answers.push(await ask(admin, '/api/recover', { highest, shards }));
    }
  }
  console.log(flags.isSet('json') ? JSON.stringify(answers, undefined, 2) : table(answers));
  return 0;
}

/** Throws `CommandError`, once all is shown, unless the loss was confirmed. */
async function confirmLoss(flags: Parsed, source: HomesSource): Promise<void> {
  if (flags.isSet('lose-what-is-missing')) return;
  const { lost } = source.plan;
  const found: HomeFound[] = [];
  for await (const page of homesFound(source)) found.push(...page);
  // What a node owns is nowhere else in a newer state.
  const left = found.filter(({ home, isOwned }) => !isOwned && !lost.includes(home)).map(shown);
  const kept = found.filter(({ home }) => lost.includes(home)).map(shown);
  if (flags.isSet('json')) console.log(JSON.stringify({ left, kept }, undefined, 2));
  else {
    console.log(`${left.length} objects that may have been at home in ${lost.join(', ')},`);
    console.log('and what there is of each (epoch/LSN) at least:');
    console.log(table(left.slice(0, shownMax)));
    if (kept.length > 0) {
      console.log(`\n${kept.length} objects wait for their region: too few nodes have a copy`);
      console.log(table(kept.slice(0, shownMax)));
    }
    if (Math.max(left.length, kept.length) > shownMax) console.log('… --json shows all of them');
  }
  throw new CommandError(
    `nothing was changed. If region ${lost.join(', ')} is lost for good, and what is not here may be lost, ` +
      'add --lose-what-is-missing',
  );
}

function shown({ object, name, home, copy, newest }: HomeFound): object {
  const { namespace, id } = object;
  return { namespace, id, name, home, copy: nameOf(copy), newest: nameOf(newest) };
}

function nameOf({ epoch, lsn }: RecordName): string {
  return `${epoch}/${lsn}`;
}
