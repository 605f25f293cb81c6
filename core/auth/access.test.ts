import { actions, can, requireCan } from './access.ts';

const admin = { name: 'admin', kind: 'admin', credential: '00' } as const;
const reader = { name: 'grafana', kind: 'read', credential: '01' } as const;

test('an administrator may everything', () => {
  expect(actions.filter((action) => !can(admin, action, 'alberta-floods'))).toEqual([]);
});

test('a reader may look and ask, keep queries, and change nothing else', () => {
  expect(actions.filter((action) => can(reader, action))).toEqual([
    'query',
    'read_events',
    'read_reports',
    'save_queries',
    'read_status',
  ]);
  expect(actions.filter((action) => can(reader, action, 'alberta-floods'))).toEqual([
    'query',
    'read_events',
    'read_reports',
    'save_queries',
    'read_status',
  ]);
});

test('a refusal says who may not do what', () => {
  expect(() => requireCan(reader, 'change_events', 'alberta-floods')).toThrow(
    expect.objectContaining({
      code: 'forbidden',
      message: 'grafana may read and query; change events needs an admin token',
    }),
  );
  expect(() => requireCan(admin, 'change_events')).not.toThrow();
});
