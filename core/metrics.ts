import { Counter, Gauge, Histogram, Registry } from 'prom-client';

type Labels = Readonly<Record<string, string | number>>;

/** Prometheus metrics. Names are `watershed_<noun>_<unit>[_total]`; asking twice for a name gives the same metric. */
export interface Metrics {
  counter(name: string, help: string, labels?: readonly string[]): { add(amount: number, labels?: Labels): void };
  gauge(name: string, help: string, labels?: readonly string[]): { set(value: number, labels?: Labels): void };
  /** Durations in seconds, sizes in bytes: say so in the name. */
  histogram(name: string, help: string, buckets: readonly number[], labels?: readonly string[]): {
    observe(value: number, labels?: Labels): void;
  };
  /** The text exposition format, for `/metrics`. */
  text(): Promise<string>;
  /** The current values, for the progress line and `watershed status`. */
  value(name: string, labels?: Labels): Promise<number | undefined>;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const known = new Map<string, unknown>();
  const once = <T>(name: string, make: () => T): T => {
    if (!known.has(name)) known.set(name, make());
    const found: unknown = known.get(name);
    // The map is filled by this function alone: a name always maps to what `make` gave first.
    return found as T;
  };
  return {
    counter: (name, help, labelNames = []) =>
      once(name, () => {
        const counter = new Counter({ name, help, labelNames: [...labelNames], registers: [registry] });
        return { add: (amount: number, labels: Labels = {}) => counter.inc({ ...labels }, amount) };
      }),
    gauge: (name, help, labelNames = []) =>
      once(name, () => {
        const gauge = new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
        return { set: (value: number, labels: Labels = {}) => gauge.set({ ...labels }, value) };
      }),
    histogram: (name, help, buckets, labelNames = []) =>
      once(name, () => {
        const histogram = new Histogram({ name, help, labelNames: [...labelNames], buckets: [...buckets], registers: [registry] });
        return { observe: (value: number, labels: Labels = {}) => histogram.observe({ ...labels }, value) };
      }),
    text: () => registry.metrics(),
    async value(name, labels = {}) {
      const metric = await registry.getSingleMetric(name)?.get();
      const wanted = Object.entries(labels);
      // Of a histogram the sum counts, not its buckets.
      const matching = metric?.values.filter((entry) =>
        (!('metricName' in entry) || entry.metricName === name || entry.metricName === `${name}_sum`) && wanted.every(([key, value]) => String(Object.entries(entry.labels).find(([name]) => name === key)?.[1]) === String(value)));
      if (matching === undefined || matching.length === 0) return undefined;
      return matching.reduce((sum, entry) => sum + entry.value, 0);
    },
  };
}
