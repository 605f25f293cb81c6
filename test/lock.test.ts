import { missingOptional, readLock } from '../build/lock.ts';

test('the lock file names every optional package, also those of other systems: else `npm ci` refuses it', () => {
  expect(missingOptional(readLock())).toEqual([]);
});

test('a package of another system that is missing is found, at the top and below', () => {
  const packages = {
    '': {}, 'node_modules/a': { version: '1.0.0', optionalDependencies: { 'a-linux': '1.0.0', 'a-darwin': '1.0.0' } },
    'node_modules/a-linux': { version: '1.0.0' },
    'node_modules/b/node_modules/c': { version: '1.0.0', dev: true, optionalDependencies: { 'c-linux': '2.0.0', 'c-win32': '2.0.0' } },
    'node_modules/b/node_modules/c-linux': { version: '2.0.0' },
  };
  expect(missingOptional({ packages })).toEqual([
    { name: 'a-darwin', version: '1.0.0', dev: false }, { name: 'c-win32', version: '2.0.0', dev: true },
  ]);
});
