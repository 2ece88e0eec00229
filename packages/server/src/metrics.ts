/**
 * The `Metrics` port over prom-client: every metric of homing, declared once with its help text and
 * labels. No label ever holds an object's id: series must stay few. An unknown name or label is a
 * defect and fails an assertion.
 */
import { assert, type MetricLabels, type Metrics } from '@homing/base';
import { collectDefaultMetrics, Gauge, type Metric, Registry } from 'prom-client';
import { CounterSeries, HistogramSeries } from './series.ts';

const seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const records = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];

interface Declaration {
  readonly help: string;
  readonly labels?: readonly string[];
}

const counters: Readonly<Record<string, Declaration>> = {
  requests_total: {
    help: 'Events that objects handled',
    labels: ['namespace', 'kind', 'outcome'],
  },
  activations_total: { help: 'Objects brought into memory', labels: ['cause'] },
  placement_claims_total: { help: 'Claims of objects', labels: ['outcome'] },
  alarms_total: { help: 'Alarms that ran', labels: ['outcome'] },
  overload_rejections_total: {
    help: 'Events refused because an object had too many queued',
    labels: ['namespace'],
  },
  migrations_total: { help: 'Objects moved to another node', labels: ['reason', 'outcome'] },
  failovers_total: { help: 'Objects taken over from a node that died' },
  forwarded_total: { help: 'Calls passed on to the owner', labels: ['to_region'] },
  objects_forgotten_total: { help: 'Empty objects of which nothing was kept' },
  leftovers_erased_total: { help: 'Copies erased that objects had left behind in a region' },
  replicas_quarantined_total: { help: 'Replicas of objects that were found damaged' },
  session_expired_total: { help: 'Coordinator sessions lost' },
};

const histograms: Readonly<Record<string, Declaration & { readonly buckets: number[] }>> = {
  request_duration_seconds: {
    help: 'From the arrival of an event at its object to its end',
    labels: ['namespace', 'kind'],
    buckets: seconds,
  },
  activation_duration_seconds: {
    help: 'From the first event for an object to the end of its constructor',
    buckets: seconds,
  },
  commit_duration_seconds: {
    help: 'From the append of a write group to its durability',
    buckets: seconds,
  },
  commit_batch_records: { help: 'Records that shared an fsync', buckets: records },
  fsync_duration_seconds: { help: 'One write and fsync of the store', buckets: seconds },
};

const gauges: Readonly<Record<string, Declaration>> = {
  objects_active: { help: 'Objects in memory', labels: ['namespace'] },
  replicas_quarantined: { help: 'Replicas of objects that are damaged and not made anew yet' },
  remote_objects: {
    help: 'Objects owned here that are to have a copy in a second region',
    labels: ['state'],
  },
  remote_lag_records: { help: 'Committed records that those copies lack' },
  remote_lag_bytes: { help: 'Bytes of them that are kept to be sent' },
  remote_lag_seconds: { help: 'How long the copy that is furthest behind has been so' },
  objects_owned: { help: 'Objects this node is the owner of' },
  sockets: { help: 'WebSockets', labels: ['state'] },
  migrations_in_flight: { help: 'Objects that are moving toward their callers' },
  region_round_trip_seconds: {
    help: 'Round trip to the nodes of a region, measured',
    labels: ['to_region'],
  },
  replication_lag_records: { help: 'Records a peer has not acknowledged', labels: ['peer'] },
};

export class PrometheusMetrics implements Metrics {
  readonly registry = new Registry();
  readonly #counters = new Map<string, CounterSeries>();
  readonly #histograms = new Map<string, HistogramSeries>();
  readonly #gauges = new Map<string, Gauge>();

  constructor() {
    collectDefaultMetrics({ register: this.registry });
    const registers = [this.registry];
    for (const [name, { help, labels = [] }] of Object.entries(counters)) {
      const counter = new CounterSeries({ name: `homing_${name}`, help, labels });
      this.#counters.set(name, counter);
      this.#register(counter);
    }
    for (const [name, { help, labels = [], buckets }] of Object.entries(histograms)) {
      const options = { name: `homing_${name}`, help, labels, bounds: buckets };
      const histogram = new HistogramSeries(options);
      this.#histograms.set(name, histogram);
      this.#register(histogram);
    }
    for (const [name, { help, labels = [] }] of Object.entries(gauges)) {
      const options = { name: `homing_${name}`, help, labelNames: labels, registers };
      this.#gauges.set(name, new Gauge(options));
    }
  }

  /** The registry asks no more of a metric than these have; its types name its own classes. */
  #register(metric: CounterSeries | HistogramSeries): void {
    this.registry.registerMetric(metric as unknown as Metric);
  }

  increment(name: string, labels: MetricLabels = {}, by = 1): void {
    const counter = this.#counters.get(name);
    assert(counter !== undefined, `metrics: no counter ${name}`);
    counter.add(labels, by);
  }

  observe(name: string, value: number, labels: MetricLabels = {}): void {
    const histogram = this.#histograms.get(name);
    assert(histogram !== undefined, `metrics: no histogram ${name}`);
    histogram.observe(labels, value);
  }

  set(name: string, value: number, labels: MetricLabels = {}): void {
    const gauge = this.#gauges.get(name);
    assert(gauge !== undefined, `metrics: no gauge ${name}`);
    gauge.set(labels, value);
  }

  /** Forgets a gauge's values, so that labels that are gone disappear. */
  reset(name: string): void {
    this.#gauges.get(name)?.reset();
  }

  /** The page that Prometheus scrapes. */
  page(): Promise<string> {
    return this.registry.metrics();
  }
}
