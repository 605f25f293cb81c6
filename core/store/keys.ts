import { WatershedError } from '../errors.ts';

/**
 * Refuses (`bad_request`) what is no key: no leading or trailing slash, no empty, `.` or `..` segment, no control
 * character, and none of `?`, `#` and backslash, which some take for something else.
 */
export function checkKey(key: string): void {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  const segments = /[?#\\\u0000-\u001f\u007f]/.test(key) ? [] : key.split('/');
  if (segments.length === 0 || segments.some((segment) => segment === '' || segment === '.' || segment === '..'))
    throw noKey(key);
}

/**
 * Refuses also `%`, which engines decode differently, in the key of an object to be made. Other engines make such
 * objects (a partition folder `event_id=k%C3%A4se`), so they are read and deleted like any other.
 */
export function checkNewKey(key: string): void {
  checkKey(key);
  if (key.includes('%')) throw noKey(key);
}

function noKey(key: string): WatershedError {
  return new WatershedError('bad_request', `${JSON.stringify(key)} cannot be the key of an object`);
}

export function noSuchObject(key: string, cause?: unknown): WatershedError {
  return new WatershedError('not_found', `there is no object ${key}`, { cause, context: { key } });
}
