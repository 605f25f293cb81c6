import Type from 'typebox';
import type { Clock } from '#core/clock.ts';
import { messageOf } from '#core/errors.ts';
import type { Alert, Alerts } from '#core/reports/alerts.ts';
import type { Verdict } from '#core/reports/condition.ts';
import { conditionSql, verdictOf } from '#dashboards/reports/conditions.ts';
import type { JobDefinition } from './job.ts';
import type { Ask } from './report-ask.ts';

export interface AlertJobOptions {
  readonly alerts: Alerts;
  readonly clock: Clock;
  readonly ask: Ask;
  /** Asks for the job `report`, which delivers. */
  readonly onTold: () => void;
}

const Nothing = Type.Object({});
// One slow statement does not make the others late.
const askedAtOnce = 4;

/** The job that looks at every alert's condition each minute. What changed is told by the job `report`. */
export function alertJob({ alerts, clock, ask, onTold }: AlertJobOptions): JobDefinition<typeof Nothing> {
  return {
    name: 'alert',
    description: 'Looks at the conditions of alerts; tells once when one begins, once when it is over',
    payload: Nothing,
    schedule: { when: { everyMs: 60_000 }, payload: {} },
    concurrency: 1,
    attempts: 1,
    async run(_payload, { signal, progress }) {
      const waiting = (await alerts.list()).filter(({ status }) => status === 'active');
      let told = 0;
      const worker = async (): Promise<void> => {
        for (let alert = waiting.shift(); alert !== undefined && !signal.aborted; alert = waiting.shift()) {
          const at = clock.now();
          const seen = await look(ask, alert, at, signal).catch((error: unknown) => messageOf(error));
          if (signal.aborted) return;
          if (typeof seen === 'string') await alerts.failed(alert.id, seen, at);
          else if (await alerts.observe(alert, seen, at)) told++;
        }
      };
      await Promise.all(Array.from({ length: askedAtOnce }, worker));
      await progress({ told });
      if (told > 0) onTold();
    },
  };
}

/** What a condition says at a moment. */
export async function look(ask: Ask, { owner, condition }: Pick<Alert, 'owner' | 'condition'>, at: number, signal: AbortSignal): Promise<Verdict> {
  return verdictOf(condition, await ask(owner, conditionSql(condition, at), signal), at);
}
