/**
 * Says of posts what they are: is it about the crisis, which kind of information, which language.
 *
 * - **Pure**: the same posts in the same order with the same adaptation give the same answers and the same next
 *   adaptation, in any process. What was learned of an event is in the adaptation and nowhere else, so whoever commits
 *   it together with the answers can stop and go on anywhere.
 * - **Complete**: one list of answers per post, in the order of the posts; a question that a post does not ask (its
 *   network states the language) is left out. Texts may be empty or very long; only the first `textCharsMax` count.
 * - **Version**: whenever the same input could be answered otherwise, `version` is another.
 * - **Errors**: `unavailable` (retryable; a remote model does not answer), `limit_exceeded` (its budget is spent),
 *   `bad_request` (it answers rubbish, again and again), `corrupt` (an adaptation that this classifier did not make).
 */
export interface Classifier extends AsyncDisposable {
  readonly name: string;
  readonly version: string;
  /** The most posts that should wait for one commit, where an answer costs so much that none may be lost. */
  readonly commitPostsMax?: number;
  classify(posts: readonly ClassifiablePost[], adaptation: Adaptation, signal?: AbortSignal): Promise<Classified>;
}

export interface ClassifiablePost {
  readonly eventId: string;
  readonly text: string;
  /** BCP 47, as the network states it; null where it does not. */
  readonly lang: string | null;
}

/** What was adapted to, by event. Opaque to all but the classifier that made it; an event without an entry is new. */
export type Adaptation = ReadonlyMap<string, Uint8Array>;

export interface Classified {
  /** For each post its answers, in the order of `questions`. */
  readonly answers: readonly (readonly Answer[])[];
  /** The next adaptation of the events that occur in these posts. */
  readonly adapted: Adaptation;
}

export const questions = ['relevance', 'information_type', 'language'] as const;
export type Question = (typeof questions)[number];

export interface Answer {
  readonly question: Question;
  /** The most probable label. */
  readonly label: string;
  /** Calibrated probability of the label, 0 to 1. */
  readonly score: number;
  /** All labels with their probabilities, or the most probable ones of a long list. */
  readonly scores: Readonly<Record<string, number>>;
}

export const relevanceLabels = ['relevant', 'not_relevant'] as const;
export type RelevanceLabel = (typeof relevanceLabels)[number];

/** The information types of CrisisLexT26 (Olteanu, Vieweg, Castillo, CSCW 2015). */
export const informationTypes = [
  'affected_individuals',
  'infrastructure_and_utilities',
  'donations_and_volunteering',
  'caution_and_advice',
  'sympathy_and_support',
  'other_useful_information',
] as const;
export type InformationType = (typeof informationTypes)[number];

/** Longer texts are cut: no network allows them but by attachments of another kind, and time must be bounded. */
export const textCharsMax = 4096;

/** True where the network's own statement of the language says nothing. */
export function lacksLanguage(lang: string | null): boolean {
  return lang === null || lang === '' || lang === 'und' || lang === 'zxx' || lang.startsWith('q');
}
