/** Value of a function at `x`; its gradient is put into `gradient`. */
export type Objective = (x: Float64Array, gradient: Float64Array) => number;

/**
 * Pairs of steps that L-BFGS remembers: more than ten rarely helps (Nocedal and Wright, Numerical Optimization, 7.2).
 */
const memory = 10;

/** The minimum of a smooth convex function by L-BFGS with backtracking, from `start`. Deterministic. */
export function minimise(objective: Objective, start: Float64Array, iterationsMax: number): Float64Array {
  let x = Float64Array.from(start);
  let gradient = new Float64Array(x.length);
  let value = objective(x, gradient);
  const steps: { s: Float64Array; y: Float64Array; rho: number }[] = [];
  for (let iteration = 0; iteration < iterationsMax; iteration++) {
    const direction = descent(gradient, steps);
    const slope = dot(direction, gradient);
    if (slope > -1e-12) break;
    let length = iteration === 0 ? Math.min(1, 1 / Math.sqrt(dot(gradient, gradient))) : 1;
    let next = x;
    let nextGradient = gradient;
    let nextValue = value;
    for (let tries = 0; tries < 30; tries++, length /= 2) {
      next = x.map((old, index) => old + length * (direction[index] ?? 0));
      nextGradient = new Float64Array(x.length);
      nextValue = objective(next, nextGradient);
      if (nextValue <= value + 1e-4 * length * slope) break;
    }
    const s = next.map((current, index) => current - (x[index] ?? 0));
    const y = nextGradient.map((current, index) => current - (gradient[index] ?? 0));
    const curvature = dot(s, y);
    if (curvature > 1e-12) steps.push({ s, y, rho: 1 / curvature });
    if (steps.length > memory) steps.shift();
    const gained = value - nextValue;
    x = next;
    gradient = nextGradient;
    value = nextValue;
    if (gained < 1e-6 * Math.abs(value)) break;
  }
  return x;
}

function descent(
  gradient: Float64Array,
  steps: readonly { s: Float64Array; y: Float64Array; rho: number }[],
): Float64Array {
  const q = gradient.map((value) => -value);
  const alphas: number[] = [];
  for (const { s, y, rho } of steps.toReversed()) {
    const alpha = rho * dot(s, q);
    alphas.unshift(alpha);
    addScaled(q, y, -alpha);
  }
  const last = steps.at(-1);
  if (last !== undefined) {
    const scale = 1 / (last.rho * dot(last.y, last.y));
    for (let index = 0; index < q.length; index++) q[index] = (q[index] ?? 0) * scale;
  }
  steps.forEach(({ s, y, rho }, index) => addScaled(q, s, (alphas[index] ?? 0) - rho * dot(y, q)));
  return q;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let index = 0; index < a.length; index++) sum += (a[index] ?? 0) * (b[index] ?? 0);
  return sum;
}

function addScaled(to: Float64Array, part: Float64Array, scale: number): void {
  for (let index = 0; index < to.length; index++) to[index] = (to[index] ?? 0) + scale * (part[index] ?? 0);
}

/** Rows of numbers, one after the other, with a class and a weight each. */
export interface Examples {
  readonly rows: Float32Array;
  readonly width: number;
  readonly classes: Uint8Array;
  readonly weights: Float32Array;
}

/**
 * Logistic regression: width weights and a bias. `ridge` is half the penalty on the squared weights, beside summed
 * losses.
 */
export function logisticRegression(examples: Examples, ridge: number): Float64Array {
  const { rows, width, classes, weights } = examples;
  return minimise(
    (x, gradient) => {
      let value = 0;
      for (let index = 0; index < width; index++) {
        value += ridge * (x[index] ?? 0) ** 2;
        gradient[index] = 2 * ridge * (x[index] ?? 0);
      }
      for (let row = 0, at = 0; row < classes.length; row++, at += width) {
        let score = x[width] ?? 0;
        for (let index = 0; index < width; index++) score += (x[index] ?? 0) * (rows[at + index] ?? 0);
        const sign = classes[row] === 1 ? 1 : -1;
        const weight = weights[row] ?? 0;
        value += weight * (score * sign > 30 ? 0 : Math.log1p(Math.exp(-score * sign)));
        const slope = (-weight * sign) / (1 + Math.exp(score * sign));
        for (let index = 0; index < width; index++)
          gradient[index] = (gradient[index] ?? 0) + slope * (rows[at + index] ?? 0);
        gradient[width] = (gradient[width] ?? 0) + slope;
      }
      return value;
    },
    new Float64Array(width + 1),
    100,
  );
}

/** Softmax regression: for each class `width` weights and a bias. */
export function softmaxRegression(examples: Examples, classCount: number, ridge: number): Float64Array {
  const { rows, width, classes, weights } = examples;
  const stride = width + 1;
  const scores = new Float64Array(classCount);
  return minimise(
    (x, gradient) => {
      let value = 0;
      gradient.fill(0);
      for (let index = 0; index < x.length; index++) {
        if (index % stride === width) continue;
        value += ridge * (x[index] ?? 0) ** 2;
        gradient[index] = 2 * ridge * (x[index] ?? 0);
      }
      for (let row = 0, at = 0; row < classes.length; row++, at += width) {
        let largest = -Infinity;
        for (let label = 0; label < classCount; label++) {
          let score = x[label * stride + width] ?? 0;
          for (let index = 0; index < width; index++)
            score += (x[label * stride + index] ?? 0) * (rows[at + index] ?? 0);
          scores[label] = score;
          largest = Math.max(largest, score);
        }
        let sum = 0;
        for (let label = 0; label < classCount; label++) sum += Math.exp((scores[label] ?? 0) - largest);
        const truth = classes[row] ?? 0;
        const weight = weights[row] ?? 0;
        value += weight * (Math.log(sum) + largest - (scores[truth] ?? 0));
        for (let label = 0; label < classCount; label++) {
          const slope = weight * (Math.exp((scores[label] ?? 0) - largest) / sum - (label === truth ? 1 : 0));
          const from = label * stride;
          for (let index = 0; index < width; index++)
            gradient[from + index] = (gradient[from + index] ?? 0) + slope * (rows[at + index] ?? 0);
          gradient[from + width] = (gradient[from + width] ?? 0) + slope;
        }
      }
      return value;
    },
    new Float64Array(classCount * stride),
    60,
  );
}
