/**
 * Replays a day of callers in three regions against the policy of migration, prints what they waited
 * for, and draws it into docs/migration-day.svg. Ends by itself; the same seed, the same day.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { dayHours, dayRegions, meanOfDay, replayAll } from '@homing/sim';

const file = fileURLToPath(new URL('../../../docs/migration-day.svg', import.meta.url));
const seed = 1;
const colors = { eu: '#2a6df4', us: '#e0662a', asia: '#3a9d5d' };
const lines = {
  fixed: { label: 'best home that never moves', dash: '6 4', color: '#888' },
  hourly: { label: 'best home of each hour, with hindsight', dash: '2 3', color: '#222' },
  moving: { label: 'moving by the policy', dash: '', color: '#b3206b' },
};

function day() {
  const results = replayAll(seed);
  const mean = meanOfDay(results);
  const moves = results.reduce((sum, result) => sum + result.moves, 0);
  const kinds = groupBy(results, kindOf);
  console.log(`${results.length} objects, ${dayRegions.join(', ')}, a day, seed ${seed}`);
  row('', 'moves each', 'moving', 'best fixed', 'best hourly');
  for (const [kind, some] of kinds) {
    const each = some.reduce((sum, result) => sum + result.moves, 0) / some.length;
    shown(kind, each, meanOfDay(some));
  }
  shown('all', moves / results.length, mean);
  const over = ((mean.moving / mean.hourly - 1) * 100).toFixed(1);
  console.log(`moving waits ${over} % longer than the best home of each hour`);
  writeFileSync(file, plot(results));
  console.log(`drawn to ${file}`);
}

function kindOf({ name }) {
  return name.replace(/ \d+$/, '');
}

function groupBy(items, of) {
  const groups = new Map();
  for (const item of items) groups.set(of(item), [...(groups.get(of(item)) ?? []), item]);
  return groups;
}

function shown(kind, moves, { moving, fixed, hourly }) {
  const ms = (value) => `${value.toFixed(1)} ms`;
  row(kind, moves.toFixed(1), ms(moving), ms(fixed), ms(hourly));
}

function row(...cells) {
  console.log(cells.map((cell, index) => cell.padEnd(index === 0 ? 14 : 13)).join(''));
}

/** Above, one object's calls by region and its homes; below, the mean wait of all by hour. */
function plot(results) {
  const [object] = results;
  const width = 760;
  const left = 60;
  const x = (hour) => left + (hour / dayHours) * (width - left - 20);
  const text = (at, y, words, more = '') =>
    `<text x="${at}" y="${y}" font-size="12" ${more}>${words}</text>`;
  const parts = [];
  parts.push(text(left, 20, `One object that all regions use: its calls, and its home`));
  parts.push(...callAreas(object, x, 150, 110));
  parts.push(...homeBand(object, x, 160));
  let at = left;
  for (const region of dayRegions) {
    parts.push(`<rect x="${at}" y="190" width="12" height="12" fill="${colors[region]}"/>`);
    parts.push(text(at + 16, 200, region));
    at += 70;
  }
  parts.push(text(left, 240, `All ${results.length} objects: what a call waits for, mean by hour`));
  parts.push(...waitLines(results, x, 400, 140));
  let below = left;
  for (const { label, dash, color } of Object.values(lines)) {
    const stroke = `stroke="${color}" stroke-width="2" stroke-dasharray="${dash}"`;
    parts.push(`<line x1="${below}" y1="446" x2="${below + 24}" y2="446" ${stroke}/>`);
    parts.push(text(below + 30, 450, label));
    below += label.length * 6.4 + 60;
  }
  for (let hour = 0; hour <= dayHours; hour += 4) {
    parts.push(text(x(hour).toFixed(1), 420, `${hour}:00`, 'text-anchor="middle" fill="#555"'));
  }
  const head = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="464" font-family="sans-serif">`;
  return `${head}\n<title>A day of callers in three regions</title>\n<rect width="100%" height="100%" fill="white"/>\n${parts.join('\n')}\n</svg>\n`;
}

function callAreas({ hours }, x, bottom, height) {
  const totals = hours.map(({ calls }) => dayRegions.reduce((sum, name) => sum + calls[name], 0));
  const scale = height / Math.max(...totals);
  const base = hours.map(() => 0);
  return dayRegions.map((region) => {
    const lower = [];
    const upper = [];
    for (const [hour, { calls }] of hours.entries()) {
      lower.push(`${x(hour + 0.5).toFixed(1)},${(bottom - base[hour] * scale).toFixed(1)}`);
      base[hour] += calls[region];
      upper.push(`${x(hour + 0.5).toFixed(1)},${(bottom - base[hour] * scale).toFixed(1)}`);
    }
    const points = [...lower, ...upper.reverse()].join(' ');
    return `<polygon points="${points}" fill="${colors[region]}" fill-opacity="0.75"/>`;
  });
}

function homeBand({ homes }, x, top) {
  return homes.map(({ fromHour, home }, index) => {
    const until = homes[index + 1]?.fromHour ?? dayHours;
    const from = x(fromHour);
    const span = (x(until) - from).toFixed(1);
    return `<rect x="${from.toFixed(1)}" y="${top}" width="${span}" height="16" fill="${colors[home]}"/>`;
  });
}

function waitLines(results, x, bottom, height) {
  const means = {};
  for (const method of Object.keys(lines)) {
    means[method] = Array.from({ length: dayHours }, (_, hour) => {
      let wait = 0;
      let calls = 0;
      for (const { hours } of results) {
        wait += hours[hour].waitMs[method];
        calls += dayRegions.reduce((sum, region) => sum + hours[hour].calls[region], 0);
      }
      return wait / calls;
    });
  }
  const most = Math.ceil(Math.max(...Object.values(means).flat()) / 20) * 20;
  const y = (ms) => bottom - (ms / most) * height;
  const parts = [];
  for (let ms = 0; ms <= most; ms += 20) {
    const at = y(ms).toFixed(1);
    parts.push(`<line x1="${x(0)}" y1="${at}" x2="${x(dayHours)}" y2="${at}" stroke="#ddd"/>`);
    parts.push(`<text x="52" y="${y(ms) + 4}" font-size="11" text-anchor="end">${ms} ms</text>`);
  }
  for (const [method, { dash, color }] of Object.entries(lines)) {
    const points = means[method].map(
      (ms, hour) => `${x(hour + 0.5).toFixed(1)},${y(ms).toFixed(1)}`,
    );
    const stroke = `stroke="${color}" stroke-width="2" stroke-dasharray="${dash}"`;
    parts.push(`<polyline points="${points.join(' ')}" fill="none" ${stroke}/>`);
  }
  return parts;
}

day();
