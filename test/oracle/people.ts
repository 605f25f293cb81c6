import type { Random } from '#core/clock.ts';

/** A term of a rule, ways in which people write it, and words that only look like it. Made by hand, not by our matcher. */
export interface Subject {
  readonly term: string;
  readonly written: readonly string[];
  readonly lookalikes: readonly string[];
  /** False where the fake X cannot judge it: scripts without spaces, accents in two forms, emoji. */
  readonly onX: boolean;
}

export const subjects: readonly Subject[] = [
  { term: 'flood', written: ['flood', 'FLOOD', 'Flood!', '#flood', '(flood)', 'flood🌊'], lookalikes: ['floods', 'aflood', 'flood_gate', 'floodlight'], onX: true },
  { term: 'fire', written: ['fire', 'Fire,', '#FIRE', '“fire”'], lookalikes: ['firefighter', 'campfire', 'fires'], onX: true },
  { term: '#rescue', written: ['#rescue', '#Rescue.'], lookalikes: ['#rescued', 'rescue'], onX: true },
  { term: '"river rises"', written: ['river rises', 'River  rises', 'river — RISES'], lookalikes: ['river never rises', 'rivers rises'], onX: true },
  { term: '地震', written: ['昨日地震で', '地震', '#地震'], lookalikes: ['地 震'], onX: false },
  { term: 'น้ำท่วม', written: ['วันนี้น้ำท่วมแล้ว'], lookalikes: ['น้ำ ท่วม'], onX: false },
  { term: 'café', written: ['café', 'CAFÉ', 'cafe\u0301'], lookalikes: ['cafe', 'cafés'], onX: false },
  { term: '🔥', written: ['🔥', 'so🔥🔥'], lookalikes: ['🧯'], onX: false },
];

const noise = ['zuri', 'malo', 'tenka', 'bori', 'velum', 'sarda', 'quell', 'opal', 'hinter', 'gravel', 'thus', 'ouzo', 'نور', 'Straße', '👨‍👩‍👧', 'naïve', '"quoted"', 'a\\b', '\t'];

/** A text, and the terms that it holds by the way it was made. Every text is different. */
export function makeText(random: Random, number: number, onX: boolean): { text: string; holds: readonly string[] } {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T; // never empty here
  const usable = subjects.filter((subject) => subject.onX || !onX);
  const parts = Array.from({ length: 2 + Math.floor(random() * 10) }, () => pick(noise));
  const holds: string[] = [];
  for (let index = random() < 0.5 ? 1 : 0; index > 0; index = random() < 0.3 ? 1 : 0) {
    const subject = pick(usable);
    parts.splice(Math.floor(random() * parts.length), 0, 'and', pick(subject.written), 'with');
    holds.push(subject.term);
  }
  if (random() < 0.4) parts.splice(Math.floor(random() * parts.length), 0, 'and', pick(pick(usable).lookalikes), 'with');
  return { text: `${parts.join(' ')} n${number}`, holds };
}
