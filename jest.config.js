// Jest strips types itself since 30.5 (transform: {}), so no compiler stands between the tests and what Node runs.
// A test says in its name what it needs: x.test.ts nothing, x.pg.test.ts PostgreSQL, x.kafka.test.ts Kafka, and so on.
const rooms = ['core', 'ingest', 'warehouse', 'transform', 'sql', 'dashboards', 'test'];
const needs = ['pg', 'kafka', 's3', 'redis', 'trino', 'browser', 'python', 'go', 'slow'];

const base = {
  roots: rooms.map((room) => `<rootDir>/${room}`),
  extensionsToTreatAsEsm: ['.ts'],
  transform: {},
  moduleFileExtensions: ['ts', 'js', 'mjs', 'json', 'node'],
  testEnvironment: '<rootDir>/test/environment.cjs',
};

export default {
  maxWorkers: '100%',
  // Machines are shared: a limit is there to end what hangs, not to measure.
  testTimeout: 120_000,
  coverageProvider: 'v8',
  projects: [
    {
      ...base,
      displayName: 'unit',
      testMatch: ['**/*.test.ts'],
      testPathIgnorePatterns: ['/node_modules/', ...needs.map((need) => `\\.${need}\\.test\\.ts$`)],
    },
    ...needs.map((need) => ({ ...base, displayName: need, testMatch: [`**/*.${need}.test.ts`] })),
  ],
};
