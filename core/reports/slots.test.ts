import { dueSlots, parseSchedule } from './slots.ts';

const at = (text: string): number => Date.parse(text);
const shown = (slots: ReturnType<typeof dueSlots>): string[] => slots.map((slot) => `${new Date(slot.at).toISOString()}${slot.run ? '' : ' skipped'}`);

test('seven in the morning stays seven when the clocks of Denver change', () => {
  // 2026: clocks go forward on 8 March, back on 1 November.
  expect(shown(dueSlots('0 7 * * *', 'America/Denver', 'all', at('2026-03-07T00:00Z'), at('2026-03-09T23:00Z')))).toEqual([
    '2026-03-07T14:00:00.000Z', '2026-03-08T13:00:00.000Z', '2026-03-09T13:00:00.000Z']);
});

test('the hour that comes twice is one slot, the hour that does not exist is one too', () => {
  const twice = dueSlots('30 1 * * *', 'America/Denver', 'all', at('2026-10-31T12:00Z'), at('2026-11-02T12:00Z'));
  expect(twice).toHaveLength(2);
  const never = dueSlots('30 2 * * *', 'America/Denver', 'all', at('2026-03-07T12:00Z'), at('2026-03-09T12:00Z'));
  expect(never).toHaveLength(2);
});

test.each([
  ['skip', ['2026-01-01T07:00:00.000Z skipped', '2026-01-02T07:00:00.000Z skipped', '2026-01-03T07:00:00.000Z skipped']],
  ['last', ['2026-01-01T07:00:00.000Z skipped', '2026-01-02T07:00:00.000Z skipped', '2026-01-03T07:00:00.000Z']],
  ['all', ['2026-01-01T07:00:00.000Z', '2026-01-02T07:00:00.000Z', '2026-01-03T07:00:00.000Z']],
] as const)('after three days of rest, %s', (catchUp, expected) => {
  expect(shown(dueSlots('0 7 * * *', 'UTC', catchUp, at('2026-01-01T00:00Z'), at('2026-01-03T20:00Z')))).toEqual(expected);
});

test('a slot that is only minutes late is not missed', () => {
  expect(shown(dueSlots('0 7 * * *', 'UTC', 'skip', at('2026-01-01T00:00Z'), at('2026-01-01T07:05Z')))).toEqual(['2026-01-01T07:00:00.000Z']);
});

test('years of minutes are let go, but for the latest', () => {
  expect(dueSlots('* * * * *', 'UTC', 'all', at('2026-01-01T00:00Z'), at('2026-01-03T00:00Z'))).toHaveLength(500);
});

test.each([['61 * * * *', 'UTC'], ['* * * * * *', 'UTC'], ['0 7 * * *', 'Mars/Olympus'], ['', 'UTC']])('"%s" in %s is refused', (cron, zone) => {
  expect(() => parseSchedule(cron, zone)).toThrow(expect.objectContaining({ code: 'bad_request' }));
});
