import type { FastifyPluginAsync } from 'fastify';
import { type Clock, systemClock } from '#core/clock.ts';
import type { Database } from '#core/database/database.ts';
import { type Alerts, createAlerts } from '#core/reports/alerts.ts';
import { createReports, type Reports } from '#core/reports/reports.ts';
import type { Store } from '#core/store/store.ts';
import { layouts } from '#dashboards/reports/render.ts';
import { alertRoutes } from '#sql/http/alerts.ts';
import { reportRoutes } from '#sql/http/reports.ts';
import { look } from '#transform/jobs/alert.ts';
import { previewReport, reportJob } from '#transform/jobs/report.ts';
import { type Ask, askOverHttp } from '#transform/jobs/report-ask.ts';
import { createSend, type Send } from '#transform/jobs/report-send.ts';
import { pageToken } from './dashboards-lake.ts';

/** Reports and alerts as `programs.ts` puts them together, over a database and a clock of the test. */
export interface ReportHouse {
  readonly reports: Reports;
  readonly alerts: Alerts;
  readonly ask: Ask;
  readonly routes: readonly FastifyPluginAsync[];
  /** Sends by the post box, into the store and to webhooks. */
  readonly send: Send;
  /** One turn of the job: what is due is made and sent. */
  work(how?: { readonly send?: Send; readonly reports?: Reports }): Promise<void>;
  /** What the API asked the job for is done. */
  settled(): Promise<void>;
}

/** `url` is known once the server with `routes` listens; `hints`: whether the API's hints start the job, as they do in the program. */
export function reportHouse({ database, clock, store, url, smtpUrl, hints = false }: {
  database: Database; clock: Clock; store: Store; url: () => string; smtpUrl: string; hints?: boolean;
}): ReportHouse {
  const reports = createReports({ database, clock });
  const alerts = createAlerts({ database, clock });
  const ask = askOverHttp({ url, tokenOf: async () => pageToken });
  const send = createSend({ smtpUrl, mailFrom: 'watershed@example.org', clock: systemClock, store, timeoutMs: 5_000 });
  const work: ReportHouse['work'] = async (how = {}) => {
    const job = reportJob({ database, reports, clock, ask, send, store, ...how });
    await job.run({}, { signal: new AbortController().signal, progress: async () => undefined });
  };
  let asked = Promise.resolve();
  const hint = (): void => { if (hints) asked = asked.then(() => work()); };
  const routes = [
    reportRoutes({
      reports, clock, layouts, hint,
      preview: (report, at, format, signal) => previewReport({ ask }, report, at, format, signal),
    }),
    alertRoutes({ alerts, look: (alert, signal) => look(ask, alert, clock.now(), signal), hint }),
  ];
  return { reports, alerts, ask, routes, send, work, settled: async () => await asked };
}
