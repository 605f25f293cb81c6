import { jest } from '@jest/globals';
import { type PageWorld, startPage } from '#test/page.ts';

jest.setTimeout(90_000);
let world: PageWorld;

beforeAll(async () => {
  world = await startPage();
}, 180_000);

afterAll(() => world?.[Symbol.asyncDispose](), 60_000);

test('each collector shows its state and lag as the server says them now, whatever the journal holds', async () => {
  const { page, troubles } = await world.open('/operations');
  const states = [
    { source: 'bluesky', state: 'starting', since: '2026-11-24T12:00:00Z', message: 'no active event asks for this source', lagSeconds: null },
    { source: 'replay', state: 'connected', since: '2026-11-24T12:00:00Z', message: null, lagSeconds: 1.5 },
    { source: 'x', state: 'stopped', since: '2026-11-24T12:00:00Z', message: 'no process reads this source: X needs WATERSHED_X_BEARER_TOKEN', lagSeconds: 600 },
  ];
  let collectors: readonly object[] = states.slice(0, 1);
  await page.route('**/api/status', (route) => route.fulfill({ json: { collectors } }));
  // The journal of this lake knows neither of them.
  await page.route('**/api/sql', (route) => route.fulfill({ json: { columns: [], rows: [], rowCount: 0 } }));
  await page.reload();
  const section = page.locator('section', { has: page.getByRole('heading', { name: 'Collectors' }) });
  const rows = async (): Promise<string[]> => await section.locator('tbody tr').allInnerTexts();
  await section.getByText('starting').waitFor();
  expect(await rows()).toEqual([expect.stringMatching(/^bluesky\s+starting\s.*—\s+no active event asks/s)]);
  collectors = states;
  await section.getByText('stopped').waitFor();
  expect(await rows()).toEqual([expect.stringContaining('starting'), expect.stringMatching(/replay\s+connected\s.*1\.5 s/s),
    expect.stringMatching(/x\s+stopped\s.*10 min\s.*WATERSHED_X_BEARER_TOKEN/s)]);
  expect(await section.locator('.badge.bad').allInnerTexts()).toEqual(['stopped']);
  expect(troubles).toEqual([]);
  await page.context().close();
});
