/**
 * Whether an object should move toward its callers. The cost of a home is what its callers wait for:
 * their round trips over a window, each as long as it is between their region and the home. An object
 * moves when another home would have cost less, by so much that it outweighs the move itself.
 *
 * What keeps it from moving to and fro:
 * - *hysteresis*: the other home must be better by a share of what this one costs;
 * - the other home must have been the best one in each of the last turns, so that a burst moves nothing;
 * - a *minimum stay* after a move, which doubles with each *bounce*, a move after a short stay, up to
 *   an hour; a long stay forgives half of them. So two regions that pull alike, or in turn, move an
 *   object less and less often.
 *
 * Pure: times are given. Driven by the node's migrator.
 */
import type { CallerShare } from './caller-counts.ts';
import type { DeliberateBugs } from './deliberate-bugs.ts';

export interface MigrationRules {
  readonly windowMs: number;
  /** How long an object stays after a move; after bounces longer. */
  readonly minimumStayMs: number;
  /** How much less another home must cost, as a share (0.25) of what this one does. */
  readonly hysteresis: number;
  /** Round trips in a window below which nothing moves. */
  readonly tripsMin: number;
}

/** One stay of an object in a region. */
export interface Stay {
  readonly home: string;
  readonly sinceMs: number;
  /** Moves that came after short stays, as far as no long one has forgiven them. */
  readonly bounces: number;
  /** The best home in the last turns, and in how many in a row; not counted beyond what is needed. */
  readonly best: string;
  readonly turns: number;
}

/** Round trips between the two homes that a move is worth: its pause, and what it costs the nodes. */
const moveTrips = 4;
/** Turns in a row that another home must have been the best one in. */
const turnsMin = 3;
/** A longest stay that bounces lead to. */
const stayMaxMs = 3_600_000;
/** A stay of so many times the one that was demanded is not a short one. */
const shortStays = 8;

/** Where an object may live, and how far that is. */
export interface Homes {
  readonly regions: readonly string[];
  /** The round trip between two regions in milliseconds, undefined where it is not known. */
  readonly distance: (from: string, to: string) => number | undefined;
}

export type MoveDecision =
  | { readonly kind: 'move'; readonly to: string; readonly savedMs: number }
  | {
      readonly kind: 'stay';
      /**
       * best: no other home is better; few: there are too few calls; near: another one is not better
       * by enough; unsettled: it was not in each of the last turns; soon: the minimum stay is not
       * over; distance: not all distances are known.
       */
      readonly why: 'best' | 'few' | 'near' | 'unsettled' | 'soon' | 'distance';
    };

export function arrived(home: string, nowMs: number): Stay {
  return { home, sinceMs: nowMs, bounces: 0, best: home, turns: 0 };
}

/** After a move that the policy asked for. */
export function moved(from: Stay, to: string, nowMs: number, rules: MigrationRules): Stay {
  const wasShort = nowMs - from.sinceMs < shortStays * stayMs(from, rules);
  const bounces = wasShort ? from.bounces + 1 : Math.floor(from.bounces / 2);
  return { ...arrived(to, nowMs), bounces };
}

/** How long this stay is to last at least. */
export function stayMs({ bounces }: Stay, { minimumStayMs }: MigrationRules): number {
  const longest = Math.max(minimumStayMs, stayMaxMs);
  return Math.min(minimumStayMs * 2 ** Math.min(bounces, 32), longest);
}

/** At the end of a turn: `fresh` is what came in it. A turn without calls says nothing. */
export function turned(stay: Stay, fresh: readonly CallerShare[], homes: Homes): Stay {
  const best = bestHome(stay.home, fresh, homes)?.home;
  if (best === undefined || fresh.length === 0) return stay;
  if (best !== stay.best) return { ...stay, best, turns: 1 };
  return stay.turns >= turnsMin ? stay : { ...stay, turns: stay.turns + 1 };
}

/** `shares`: the counts of the window, faded. */
export function decideMove(
  stay: Stay,
  shares: readonly CallerShare[],
  homes: Homes,
  rules: MigrationRules,
  nowMs: number,
  bugs: DeliberateBugs = {},
): MoveDecision {
  const trips = shares.reduce((sum, share) => sum + share.trips, 0);
  if (trips < rules.tripsMin) return { kind: 'stay', why: 'few' };
  const here = costOf(stay.home, shares, homes);
  const best = bestHome(stay.home, shares, homes);
  if (here === undefined || best === undefined) return { kind: 'stay', why: 'distance' };
  if (best.home === stay.home) return { kind: 'stay', why: 'best' };
  const savedMs = here - best.costMs;
  const apartMs = homes.distance(stay.home, best.home) ?? 0;
  const hysteresis = bugs['no-hysteresis'] === true ? 0 : rules.hysteresis;
  if (savedMs < hysteresis * here || savedMs < moveTrips * apartMs) {
    return { kind: 'stay', why: 'near' };
  }
  if (stay.best !== best.home || stay.turns < turnsMin) return { kind: 'stay', why: 'unsettled' };
  const isSoon = nowMs - stay.sinceMs < stayMs(stay, rules);
  if (isSoon && bugs['no-minimum-stay'] !== true) return { kind: 'stay', why: 'soon' };
  return { kind: 'move', to: best.home, savedMs };
}

/** What callers wait for with this home; undefined where a distance is not known. */
function costOf(
  home: string,
  shares: readonly CallerShare[],
  { distance }: Homes,
): number | undefined {
  let costMs = 0;
  for (const { region, trips } of shares) {
    const apartMs = distance(region, home);
    if (apartMs === undefined) return undefined;
    costMs += trips * apartMs;
  }
  return costMs;
}

/** The cheapest home; the present one where it is as good as any. */
function bestHome(
  present: string,
  shares: readonly CallerShare[],
  homes: Homes,
): { readonly home: string; readonly costMs: number } | undefined {
  const presentMs = costOf(present, shares, homes);
  let best = presentMs === undefined ? undefined : { home: present, costMs: presentMs };
  for (const home of homes.regions) {
    const costMs = costOf(home, shares, homes);
    if (costMs !== undefined && (best === undefined || costMs < best.costMs)) {
      best = { home, costMs };
    }
  }
  return best;
}
