/** What is known of a statement by its earlier tries. */
export interface Past {
  /** 0: nothing; 1: it used up a short slice; 2: a longer one too; 3: and it would not stop when it had to. */
  readonly level: 0 | 1 | 2 | 3;
  /** How often it was sent back. */
  readonly times: number;
}

export const nothingKnown: Past = { level: 0, times: 0 };

/**
 * A statement gets this much of the express child's time once others wait, by what is known of it: processor time, so
 * that a short one on a crowded machine is not taken for a long one, and at most so much time that passes. The
 * first slice is the shorter the more wait, since each of them may be a long one. Together with the grace a disobedient
 * child gets, a short statement waits less than a second.
 */
export function sliceMs({ level, times }: Past, waiting: number): { readonly cpu: number; readonly passed: number } {
  if (level >= 2) return { cpu: 50, passed: 50 };
  // Sent back without having had its processor time: it gets longer each time, else it would never come to an end.
  const patience = 2 ** Math.min(5, times - level);
  if (level === 1) return { cpu: 400, passed: 700 * patience };
  const cpu = Math.min(150, Math.max(40, 450 / waiting));
  return { cpu, passed: 4 * cpu * patience };
}

/** What is known of a statement that was sent back. `isAlive`: its child had not to be killed. */
export function pastAfter({ level, times }: Past, isSpent: boolean, isAlive: boolean): Past {
  const next = !isAlive ? 3 : level === 0 ? 1 : 2;
  return { level: isSpent ? next : level, times: times + 1 };
}
