import { WatershedError } from '../errors.ts';

/**
 * Refuses (`bad_request`) what is no key: no leading or trailing slash, no empty, `.` or `..` segment, no control character,
 * and neither `%`, which engines decode differently, nor `?`, `#` or a backslash, which some take for something else.
 */
export function checkKey(key: string): void {
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  const segments = /[%?#\\\u0000-\u001f\u007f]/.test(key) ? [] : key.split('/');
  if (segments.length === 0 || segments.some((segment) => segment === '' || segment === '.' || segment === '..')) {
    throw new WatershedError('bad_request', `${JSON.stringify(key)} cannot be the key of an object`);
  }
}

export function noSuchObject(key: string, cause?: unknown): WatershedError {
  return new WatershedError('not_found', `there is no object ${key}`, { cause, context: { key } });
}
