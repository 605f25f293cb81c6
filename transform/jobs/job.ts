import type { Static, TSchema } from 'typebox';
import type { Schedule } from '#core/queue/queue.ts';

/**
 * A kind of job. It is run at least once for each time it is asked for, in any process, and must come to the same
 * result however often it is run and wherever it was killed: what it has done stands as a mark in the table that it
 * writes, committed together with the rows. Being asked is a hint, the mark is the truth.
 */
export interface JobDefinition<Payload extends TSchema = TSchema> {
  /** The queue it lives in. */
  readonly name: string;
  /** One line for people. */
  readonly description: string;
  readonly payload: Payload;
  /** When it is run without being asked, with which payload. */
  readonly schedule?: { readonly when: Schedule; readonly payload: Static<Payload> };
  /** How many run at once, over all processes that share the queue: each process takes at most so many. */
  readonly concurrency: number;
  /** How often it is tried before it is set aside with its reason. */
  readonly attempts: number;
  run(payload: Static<Payload>, context: JobContext): Promise<void>;
}

export interface JobContext {
  readonly signal: AbortSignal;
  /** Anything small that tells how far it is. */
  progress(value: Readonly<Record<string, string | number>>): Promise<void>;
}

/** A job as the API, the page and `watershed status` show it. */
export interface JobStatus {
  readonly name: string;
  readonly description: string;
  readonly schedule: string | undefined;
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly completed: number;
  /** Set aside after all attempts. */
  readonly failed: number;
  readonly lastFailure: { readonly id: string; readonly reason: string; readonly at: string } | undefined;
  /** The last run in this process. */
  readonly lastRun: JobRun | undefined;
}

export interface JobRun {
  readonly startedAt: string;
  readonly durationMs: number | undefined;
  readonly attempt: number;
  readonly outcome: 'running' | 'done' | 'failed';
  readonly error: string | undefined;
  readonly progress: Readonly<Record<string, string | number>>;
}
