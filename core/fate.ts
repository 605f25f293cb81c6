/** What becomes of a record. Every record has exactly one fate; the loop that receives it acts on it and counts it. */
export type Fate<Kept> =
  | { readonly fate: 'kept'; readonly value: Kept }
  | { readonly fate: 'dropped'; readonly reason: string }
  | { readonly fate: 'dead'; readonly reason: string; readonly bytes: Uint8Array };

export function kept<Kept>(value: Kept): Fate<Kept> {
  return { fate: 'kept', value };
}

/** For what is well formed but not wanted, such as a post that matches no event. */
export function dropped(reason: string): Fate<never> {
  return { fate: 'dropped', reason };
}

/** For what cannot be understood: goes to quarantine with its bytes. */
export function dead(reason: string, bytes: Uint8Array): Fate<never> {
  return { fate: 'dead', reason, bytes };
}
