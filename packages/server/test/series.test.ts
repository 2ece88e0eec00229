/** Counters and histograms are on the page as prom-client's own would be. */
import { Counter, Histogram, type Metric, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { CounterSeries, HistogramSeries } from '../src/series.ts';

const bounds = [0.001, 0.01, 0.1, 1];
const values = [0, 0.0005, 0.001, 0.0011, 0.05, 0.1, 1, 1.5, 100];
const kinds = [
  { kind: 'call', outcome: 'ok' },
  { kind: 'alarm', outcome: 'ok' },
  { kind: 'call', outcome: 'a "failure"\n' },
];

async function pages(labels: string[]) {
  const [theirs, ours] = [new Registry(), new Registry()];
  const of = (name: string) => ({ name, help: `Of ${name}` });
  const registers = [theirs];
  const count = new Counter({ ...of('count'), labelNames: labels, registers });
  const time = new Histogram({ ...of('time'), labelNames: labels, buckets: bounds, registers });
  const ownCount = new CounterSeries({ ...of('count'), labels });
  const ownTime = new HistogramSeries({ ...of('time'), labels, bounds });
  for (const own of [ownCount, ownTime]) ours.registerMetric(own as unknown as Metric);
  const empty = [await theirs.metrics(), await ours.metrics()];
  for (const [index, value] of values.entries()) {
    const given = labels.length === 0 ? {} : (kinds[index % kinds.length] ?? {});
    count.inc(given, index);
    ownCount.add(given, index);
    time.observe(given, value);
    ownTime.observe(given, value);
  }
  return { empty, full: [await theirs.metrics(), await ours.metrics()] };
}

test.each([[[]], [['kind', 'outcome']]])('with labels %j', async (labels) => {
  const { empty, full } = await pages(labels);
  expect(empty[1]).toBe(empty[0]);
  expect(full[1]).toBe(full[0]);
});

test('a label that was not declared is a defect', () => {
  const count = new CounterSeries({ name: 'count', help: 'Of count', labels: ['kind'] });
  expect(() => count.add({ kid: 'call' }, 1)).toThrow(/no label kid/);
});
