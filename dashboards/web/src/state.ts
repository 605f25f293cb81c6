import { signal } from '@preact/signals';

/** Where the page is: all of it stands in the address, so that a link shows the same to a colleague. */
export const place = signal(new URL(location.href));

addEventListener('popstate', () => { place.value = new URL(location.href); });

/** Goes to a path of this page without loading it anew. `replace` for what the back button should pass over. */
export function go(path: string, replace = false): void {
  const target = new URL(path, location.href);
  if (replace) history.replaceState(null, '', target);
  else history.pushState(null, '', target);
  place.value = target;
}

/** Sets or removes parameters of the address. `replace` for what the back button should pass over. */
export function setParams(values: Readonly<Record<string, string | undefined>>, replace = false): void {
  const target = new URL(place.value);
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined || value === '') target.searchParams.delete(name);
    else target.searchParams.set(name, value);
  }
  if (target.search !== place.value.search) go(target.pathname + target.search, replace);
}
