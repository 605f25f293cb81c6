import { readFile } from 'node:fs/promises';
import { isWatershedError, messageOf, systemCode, WatershedError } from './errors.ts';

test('only transient codes are retryable unless said otherwise', () => {
  expect(new WatershedError('unavailable', 'x').retryable).toBe(true);
  expect(new WatershedError('corrupt', 'x').retryable).toBe(false);
  expect(new WatershedError('commit_unknown', 'x', { retryable: true }).retryable).toBe(true);
});

test('our errors are told by name and code, also when made in another realm', () => {
  const foreign = Object.assign(new Error('x'), { name: 'WatershedError', code: 'fenced' });
  expect(isWatershedError(foreign, 'fenced')).toBe(true);
  expect(isWatershedError(foreign, 'corrupt')).toBe(false);
  expect(isWatershedError(new Error('x'))).toBe(false);
});

test('the code of a system error is found', async () => {
  const error: unknown = await readFile('/does/not/exist').catch((caught: unknown) => caught);
  expect(systemCode(error)).toBe('ENOENT');
  expect(messageOf(error)).toContain('/does/not/exist');
  expect(error instanceof Error).toBe(true);
});
