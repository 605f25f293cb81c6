import type { MatchablePost } from '#core/match/matcher.ts';
import { member } from './json.ts';

/**
 * What a rule can see of a record of `app.bsky.feed.post`: its text, the descriptions of its pictures, the title and
 * description of a linked page, its links and tags. Undefined where it has no text. Jetstream carries neither the
 * quoted post's text nor the author's handle.
 */
export function matchableOf(did: string, record: unknown): MatchablePost | undefined {
  const text = member(record, 'text');
  if (typeof text !== 'string') return undefined;
  const texts = [text];
  const urls: string[] = [];
  const hashtags = strings(member(record, 'tags'));
  for (const facet of list(member(record, 'facets'))) {
    for (const feature of list(member(facet, 'features'))) {
      push(urls, member(feature, 'uri'));
      push(hashtags, member(feature, 'tag'));
    }
  }
  const embed = member(record, 'embed');
  for (const part of [embed, member(embed, 'media')]) {
    for (const image of list(member(part, 'images'))) push(texts, member(image, 'alt'));
    push(texts, member(part, 'alt')); // of a video
    const card = member(part, 'external');
    push(urls, member(card, 'uri'));
    push(texts, member(card, 'title'));
    push(texts, member(card, 'description'));
  }
  return { texts, urls, hashtags, languages: strings(member(record, 'langs')), authorId: did };
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function strings(value: unknown): string[] {
  return list(value).filter((item) => typeof item === 'string');
}

function push(target: string[], value: unknown): void {
  if (typeof value === 'string' && value !== '') target.push(value);
}
