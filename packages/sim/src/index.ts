/** The seeded simulator. */
export { simulate } from './cli.ts';
export { type DayResult, dayHours, dayRegions, meanOfDay, replayAll } from './day.ts';
