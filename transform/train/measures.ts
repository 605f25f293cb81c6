/** What was said of a post and what people said of it, as indices of the labels. */
export interface Judged {
  readonly truth: number;
  readonly said: number;
  /** Probability of what was said. */
  readonly score: number;
}

export interface ClassMeasures {
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
  readonly support: number;
}

/** Rows are the truth, columns what was said. */
export function confusion(judged: readonly Judged[], classes: number): number[][] {
  const matrix = Array.from({ length: classes }, () => Array.from({ length: classes }, () => 0));
  for (const { truth, said } of judged) {
    const row = matrix[truth];
    if (row !== undefined) row[said] = (row[said] ?? 0) + 1;
  }
  return matrix;
}

export function perClass(judged: readonly Judged[], classes: number): ClassMeasures[] {
  const matrix = confusion(judged, classes);
  return matrix.map((row, label) => {
    const hits = row[label] ?? 0;
    const support = row.reduce((sum, count) => sum + count, 0);
    const said = matrix.reduce((sum, other) => sum + (other[label] ?? 0), 0);
    return {
      precision: said === 0 ? 0 : hits / said,
      recall: support === 0 ? 0 : hits / support,
      f1: said + support === 0 ? 0 : (2 * hits) / (said + support),
      support,
    };
  });
}

/** The mean of the F1 of the classes that occur, in the truth or in what was said. */
export function macroF1(judged: readonly Judged[], classes: number): number {
  const matrix = confusion(judged, classes);
  const occurring = perClass(judged, classes).filter(
    ({ support }, label) => support > 0 || matrix.some((row) => (row[label] ?? 0) > 0),
  );
  return occurring.length === 0 ? 0 : mean(occurring.map(({ f1 }) => f1));
}

/**
 * Expected calibration error: by how much, on average, the score misses the share that is right (ten bins of equal
 * width).
 */
export function calibrationError(judged: readonly Judged[]): number {
  const bins = Map.groupBy(judged, ({ score }) => Math.min(9, Math.floor(score * 10)));
  const gaps = [...bins.values()].map(
    (some) =>
      some.length *
      Math.abs(mean(some.map(({ score }) => score)) - mean(some.map(({ truth, said }) => (truth === said ? 1 : 0)))),
  );
  return judged.length === 0 ? 0 : gaps.reduce((sum, gap) => sum + gap, 0) / judged.length;
}

export function accuracy(judged: readonly Judged[]): number {
  return mean(judged.map(({ truth, said }) => (truth === said ? 1 : 0)));
}

export function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}
