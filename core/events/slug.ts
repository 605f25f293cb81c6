/**
 * The id of an event, made once from its name: lower-case letters, digits and hyphens, at most 60. Marks are taken off
 * Latin letters; a name in another script, of which nothing is left, becomes `event`. `taken` are ids that were ever
 * given.
 */
export function slugOf(name: string, taken: (id: string) => boolean): string {
  const plain = name.normalize('NFKD').replace(/\p{M}+/gu, '').toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '');
  const base = plain.slice(0, 56).replace(/-+$/, '') || 'event';
  if (!taken(base)) return base;
  for (let number = 2; ; number++) if (!taken(`${base}-${number}`)) return `${base}-${number}`;
}
