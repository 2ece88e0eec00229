/**
 * Counters and histograms as the registry of prom-client reads them, for what happens with every request
 * and record: prom-client's own take a microsecond or two for each, which looks up labels in objects and
 * buckets by the text of their bounds.
 *
 * A series is made when it is first added to; its labels are checked then. Used by metrics.ts.
 */
import { assert, type MetricLabels } from '@homing/base';

export interface SeriesOptions {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
}

interface Sample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  readonly metricName?: string;
}

abstract class AllSeries<T> {
  readonly name: string;
  readonly help: string;
  abstract readonly type: string;
  readonly aggregator = 'sum';
  readonly #labels: readonly string[];
  readonly #series = new Map<string, { readonly labels: Record<string, string>; readonly of: T }>();

  constructor({ name, help, labels }: SeriesOptions) {
    this.name = name;
    this.help = help;
    this.#labels = labels;
  }

  /** Where there are no labels there is one series, from the beginning. */
  protected start(): void {
    if (this.#labels.length === 0) this.find({});
  }

  protected abstract make(): T;

  protected abstract samples(labels: Record<string, string>, of: T): Sample[];

  protected find(labels: MetricLabels): T {
    let key = '';
    for (const label of this.#labels) key += `${labels[label]}\n`;
    return this.#series.get(key)?.of ?? this.#begin(key, labels);
  }

  #begin(key: string, given: MetricLabels): T {
    const labels: Record<string, string> = {};
    for (const [label, value] of Object.entries(given)) {
      assert(this.#labels.includes(label), `metrics: ${this.name} has no label ${label}`);
      labels[label] = String(value);
    }
    const of = this.make();
    this.#series.set(key, { labels, of });
    return of;
  }

  async get() {
    const values = [...this.#series.values()].flatMap(({ labels, of }) => this.samples(labels, of));
    const { name, help, type, aggregator } = this;
    return { name, help, type, aggregator, values };
  }

  reset(): void {
    this.#series.clear();
    this.start();
  }
}

export class CounterSeries extends AllSeries<{ count: number }> {
  readonly type = 'counter';

  constructor(options: SeriesOptions) {
    super(options);
    this.start();
  }

  add(labels: MetricLabels, by: number): void {
    this.find(labels).count += by;
  }

  protected make() {
    return { count: 0 };
  }

  protected samples(labels: Record<string, string>, { count }: { count: number }): Sample[] {
    return [{ labels, value: count }];
  }
}

interface Observations {
  sum: number;
  /** By bound; the last is of all that is above them. */
  readonly counts: Float64Array;
}

export class HistogramSeries extends AllSeries<Observations> {
  readonly type = 'histogram';
  readonly #bounds: readonly number[];

  constructor(options: SeriesOptions & { readonly bounds: readonly number[] }) {
    super(options);
    this.#bounds = options.bounds;
    this.start();
  }

  observe(labels: MetricLabels, value: number): void {
    const observations = this.find(labels);
    const bounds = this.#bounds;
    let index = 0;
    while (index < bounds.length && value > (bounds[index] as number)) index += 1;
    observations.sum += value;
    observations.counts[index] = (observations.counts[index] as number) + 1;
  }

  protected make(): Observations {
    return { sum: 0, counts: new Float64Array(this.#bounds.length + 1) };
  }

  protected samples(labels: Record<string, string>, { sum, counts }: Observations): Sample[] {
    let value = 0;
    const metricName = `${this.name}_bucket`;
    const buckets = [...this.#bounds, '+Inf'].map((le, index) => {
      value += counts[index] as number;
      return { labels: { le, ...labels }, value, metricName };
    });
    return [
      ...buckets,
      { labels, value: sum, metricName: `${this.name}_sum` },
      { labels, value, metricName: `${this.name}_count` },
    ];
  }
}
