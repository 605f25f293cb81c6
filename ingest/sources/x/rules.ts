import type { CrisisEvent } from '#core/contract/event.ts';
import { isWatershedError, messageOf } from '#core/errors.ts';
import type { JournalItem } from '../source.ts';
import type { StreamRule, XApi } from './api.ts';
import type { MatchedRule } from './message.ts';
import { compileRule, ruleLengthMax } from './rule.ts';

export interface RuleKeeper {
  /**
   * Makes X's rules those of the events, by difference: what is missing is added first, then what is too much is
   * deleted, so that no post of an event that stays is missed, and the connection goes on. Says what changed and what X
   * refused. Throws `unauthorized`, `rate_limited` or `unavailable`; some may have changed then, and the next call
   * finds out.
   */
  reconcile(events: readonly CrisisEvent[]): Promise<JournalItem[]>;
  /** The events that matched rules belong to: by their tags, or by what X said of a rule that was there already. */
  eventsOf(rules: readonly MatchedRule[]): string[];
}

/** A rule that should be at X: one expression, for one event or for several that ask for the same. */
interface WantedRule {
  readonly value: string;
  readonly tag: string;
}

interface Refusal {
  readonly rule: WantedRule;
  readonly why: string;
  /** The id of a rule of somebody else that says the same: its posts are ours too. */
  readonly duplicateOf?: string;
}

// Rules of this app that somebody else made have other tags: they are left alone.
const tagPrefix = 'watershed:';

export function createRuleKeeper(api: XApi): RuleKeeper {
  /** By tag where a rule of ours is kept for other events than its tag says; by id for all, should a tag be missing. */
  const shared = new Map<string, readonly string[]>();
  const reported = new Map<string, string>();
  return {
    async reconcile(events) {
      const { values, unfit } = wantedValues(events);
      const present = await api.rules();
      // X takes a value once, and a tag cannot be changed: a rule that others ask for now stays under its old tag.
      const kept = present.filter((rule) => isOurs(rule) && values.has(rule.value));
      const retagged = kept.filter(({ tag, value }) => {
        const ids = values.get(value) ?? [];
        const news = eventsNow(shared, tag).join() !== ids.join();
        shared.set(tag, ids);
        return news;
      });
      for (const { id, value } of kept) shared.set(id, values.get(value) ?? []);
      const onAdded = ({ id, value }: StreamRule): void => void shared.set(id, values.get(value) ?? []);
      const missing = withTags([...values].filter(([value]) => !kept.some((rule) => rule.value === value)), kept);
      const surplus = present.filter((rule) => isOurs(rule) && !kept.includes(rule));
      const { refusals, deleted } = await addRules(api, missing, surplus, onAdded);
      if (!deleted) await api.deleteRules(surplus.map(({ id }) => id));
      for (const { tag } of [...surplus, ...missing]) shared.delete(tag);
      for (const { rule, duplicateOf } of refusals) {
        if (duplicateOf !== undefined) shared.set(duplicateOf, eventsOfTag(rule.tag));
      }
      const refused = new Map([...unfit, ...refusals.filter(({ duplicateOf }) => duplicateOf === undefined)
        .flatMap(({ rule, why }) => eventsOfTag(rule.tag).map((eventId) => [eventId, why] as const))]);
      const news = [...refused].filter(([eventId, why]) => reported.get(eventId) !== why);
      reported.clear();
      for (const [eventId, why] of refused) reported.set(eventId, why);
      return journalOf(missing.length - refusals.length, surplus.length, retagged.length, news);
    },
    eventsOf: (rules) => [...new Set(rules.flatMap(({ id, tag }) =>
      tag?.startsWith(tagPrefix) === true ? eventsNow(shared, tag) : shared.get(id) ?? []))],
  };
}

function eventsNow(shared: ReadonlyMap<string, readonly string[]>, tag: string): readonly string[] {
  return shared.get(tag) ?? eventsOfTag(tag);
}

function isOurs(rule: StreamRule): boolean {
  return rule.tag.startsWith(tagPrefix);
}

/** Expressions with the events that ask for each: X takes a value once. */
function wantedValues(
  events: readonly CrisisEvent[],
): { values: Map<string, string[]>; unfit: [eventId: string, why: string][] } {
  const values = new Map<string, string[]>();
  const unfit: [string, string][] = [];
  for (const event of events) {
    try {
      for (const value of compileRule(event.rule, ruleLengthMax)) {
        const ids = values.get(value) ?? [];
        if (!ids.includes(event.id)) values.set(value, [...ids, event.id]);
      }
    } catch (error) {
      if (!isWatershedError(error, 'bad_request')) throw error;
      unfit.push([event.id, messageOf(error)]);
    }
  }
  return { values, unfit };
}

/** A tag names all events of a rule, and is of no other rule. */
function withTags(
  values: readonly (readonly [value: string, ids: readonly string[]])[], others: readonly StreamRule[],
): WantedRule[] {
  const taken = new Set(others.map(({ tag }) => tag));
  return values.map(([value, ids]) => {
    let part = 0;
    while (taken.has(`${tagPrefix}${ids.join(',')}/${part}`)) part++;
    const tag = `${tagPrefix}${ids.join(',')}/${part}`;
    taken.add(tag);
    return { value, tag };
  });
}

function eventsOfTag(tag: string): string[] {
  return tag.slice(tagPrefix.length, tag.lastIndexOf('/')).split(',');
}

/** Adds before anything is deleted, unless X has no room for both. */
async function addRules(
  api: XApi, missing: readonly WantedRule[], surplus: readonly StreamRule[], onAdded: (rule: StreamRule) => void,
): Promise<{ refusals: Refusal[]; deleted: boolean }> {
  const refusals = await tryToAdd(api, missing, onAdded);
  const noRoom = refusals.filter(({ why }) => /\bcap\b|RulesCap/i.test(why));
  if (noRoom.length === 0 || surplus.length === 0) return { refusals, deleted: false };
  await api.deleteRules(surplus.map(({ id }) => id));
  const others = refusals.filter((refusal) => !noRoom.includes(refusal));
  return { refusals: [...others, ...await tryToAdd(api, noRoom.map(({ rule }) => rule), onAdded)], deleted: true };
}

/** One bad rule makes X refuse a whole request: then each is tried alone, so that the good ones are in force. */
async function tryToAdd(
  api: XApi, rules: readonly WantedRule[], onAdded: (rule: StreamRule) => void,
): Promise<Refusal[]> {
  if (rules.length === 0) return [];
  try {
    return (await api.addRules(rules)).flatMap((added): Refusal[] => {
      if ('rule' in added) {
        onAdded(added.rule);
        return [];
      }
      const rule = rules.find(({ value }) => value === added.value) ?? rules[0];
      return rule === undefined ? [] : [{ rule, why: added.refused,
        ...(added.duplicateOf === undefined ? {} : { duplicateOf: added.duplicateOf }) }];
    });
  } catch (error) {
    const status = isWatershedError(error) ? error.context['status'] : undefined;
    if (status !== 400 && status !== 422) throw error;
    const [rule] = rules;
    if (rules.length === 1 && rule !== undefined) return [{ rule, why: messageOf(error) }];
    const refusals: Refusal[] = [];
    for (const one of rules) refusals.push(...await tryToAdd(api, [one], onAdded));
    return refusals;
  }
}

function journalOf(
  added: number, deleted: number, retagged: number, refused: readonly (readonly [string, string])[],
): JournalItem[] {
  const items: JournalItem[] = refused.map(([eventId, why]) =>
    ({ kind: 'journal', entry: { kind: 'rules_changed', eventId, cause: `X refused the rule: ${why}` } }));
  if (added > 0 || deleted > 0 || retagged > 0) {
    const detail = { added, deleted, ...(retagged > 0 ? { shared: retagged } : {}) };
    items.unshift({ kind: 'journal', entry: { kind: 'rules_changed', count: added + deleted + retagged, detail } });
  }
  return items;
}
