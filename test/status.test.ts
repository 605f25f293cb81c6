import { describeStatus } from '../cli/commands/status.ts';

const nowMs = Date.parse('2026-11-24T12:00:00Z');

test('status is a table for people: collectors with their lag, jobs with their last run, no JSON', () => {
  const text = describeStatus({
    simulated: true,
    progress: { read: 10, appended: 9 },
    collectors: [
      { source: 'bluesky', state: 'connected', since: '2026-11-24T11:00:00.000Z', message: null, lagSeconds: 1.25 },
      { source: 'x', state: 'failed', since: '2026-11-24T11:30:00.000Z', message: 'X refuses the stream with 401\u001b[2J', lagSeconds: null },
    ],
    jobs: [
      { name: 'classify', description: 'long', waiting: 1, active: 0, failed: 2, lastFailure: { id: 'a', reason: 'the model is away', at: '' },
        lastRun: { startedAt: '2026-11-24T11:59:57.000Z', durationMs: 1500, attempt: 1, outcome: 'done', progress: {} } },
      { name: 'upkeep', waiting: 0, active: 0, failed: 0 },
    ],
    later: { anything: 1 },
  }, nowMs);
  expect(text).toBe([
    'SIMULATED: a made-up crisis on a fake network; no post of it is real',
    'progress', '  read             10', '  appended         9',
    'collectors',
    '  bluesky  connected  1.3 s behind  since 2026-11-24T11:00:00Z',
    '  x        failed                   since 2026-11-24T11:30:00Z  X refuses the stream with 401 [2J',
    'jobs',
    '  classify  done, began 3 s ago, took 1.5 s  1 waiting, 2 failed  the model is away',
    '  upkeep    not run yet by this process',
    'later', '  anything         1', '',
  ].join('\n'));
  expect(describeStatus({ collectors: [] }, nowMs)).toBe('collectors\n  none\n');
});
