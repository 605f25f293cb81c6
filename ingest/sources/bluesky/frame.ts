import { isUtf8 } from 'node:buffer';
import type { MatchablePost } from '#core/match/matcher.ts';
import { member } from './json.ts';
import { matchableOf } from './post.ts';

/**
 * What one message of Jetstream says (docs: bluesky-social/jetstream README, v1). Times are the network's, in
 * microseconds.
 */
export type Frame =
  | { readonly kind: 'post'; readonly timeUs: number; readonly did: string; readonly rkey: string; readonly post: MatchablePost }
  | { readonly kind: 'deleted'; readonly timeUs: number; readonly did: string; readonly rkey: string }
  | { readonly kind: 'account'; readonly timeUs: number; readonly did: string; readonly active: boolean; readonly status: string }
  | { readonly kind: 'identity'; readonly timeUs: number; readonly did: string; readonly handle: string | undefined }
  /** Well formed and of no use: a post that no rule can match, another collection. */
  | { readonly kind: 'passed'; readonly timeUs: number; readonly why: 'no match' | 'other collection' }
  /** A kind of message that is not in the protocol as we know it. */
  | { readonly kind: 'unknown'; readonly timeUs: number; readonly name: string }
  | { readonly kind: 'broken'; readonly reason: string };

export const postCollection = 'app.bsky.feed.post';

const didPattern = 'did:[a-z]{1,20}:[a-zA-Z0-9._:%-]{1,500}';
const isDid = new RegExp(`^${didPattern}$`);
const isRkey = /^(?!\.{1,2}$)[a-zA-Z0-9._:~-]{1,512}$/;
// The order of keys is wire-frozen in v1: nearly all messages are told apart, and posts let go, without parsing them.
const plainPost = new RegExp(
  `^\\{"did":"(${didPattern})","time_us":(\\d{1,16}),"kind":"commit","commit":\\{"rev":"[a-z0-9]{1,20}","operation":"(?:create|update)"`
  + `,"collection":"app\\.bsky\\.feed\\.post","rkey":"`);
const closingBrace = 125;

/** Reads one message. `mayMatch` is the quick look at a post's JSON; a post it says no to is not parsed. */
export function readFrame(bytes: Buffer, mayMatch: (json: string, did: string) => boolean): Frame {
  if (!isUtf8(bytes)) return { kind: 'broken', reason: 'it is not UTF-8' };
  const json = bytes.toString('utf8');
  const head = plainPost.exec(json);
  if (head?.[1] !== undefined && bytes.at(-1) === closingBrace && !mayMatch(json, head[1])) {
    return { kind: 'passed', timeUs: Number(head[2]), why: 'no match' };
  }
  let message: unknown;
  try {
    message = JSON.parse(json);
  } catch {
    return { kind: 'broken', reason: 'it is not JSON' };
  }
  const did = member(message, 'did');
  const timeUs = member(message, 'time_us');
  if (typeof did !== 'string' || !isDid.test(did)) return { kind: 'broken', reason: 'it has no valid did' };
  if (typeof timeUs !== 'number' || !Number.isSafeInteger(timeUs) || timeUs <= 0) return { kind: 'broken', reason: 'it has no valid time_us' };
  const kind = member(message, 'kind');
  switch (kind) {
    case 'commit':
      return readCommit(member(message, 'commit'), did, timeUs);
    case 'account':
      return readAccount(member(message, 'account'), did, timeUs);
    case 'identity': {
      const handle = member(member(message, 'identity'), 'handle');
      return { kind, timeUs, did, handle: typeof handle === 'string' ? handle.toLowerCase() : undefined };
    }
    default:
      return { kind: 'unknown', timeUs, name: String(kind).slice(0, 60) };
  }
}

function readCommit(commit: unknown, did: string, timeUs: number): Frame {
  if (member(commit, 'collection') !== postCollection) return { kind: 'passed', timeUs, why: 'other collection' };
  const rkey = member(commit, 'rkey');
  if (typeof rkey !== 'string' || !isRkey.test(rkey)) return { kind: 'broken', reason: 'its post has no valid rkey' };
  const operation = member(commit, 'operation');
  if (operation === 'delete') return { kind: 'deleted', timeUs, did, rkey };
  if (operation !== 'create' && operation !== 'update') return { kind: 'unknown', timeUs, name: `operation ${String(operation).slice(0, 40)}` };
  const post = matchableOf(did, member(commit, 'record'));
  return post === undefined ? { kind: 'broken', reason: 'its record is not a post with a text' } : { kind: 'post', timeUs, did, rkey, post };
}

function readAccount(account: unknown, did: string, timeUs: number): Frame {
  const active = member(account, 'active');
  if (typeof active !== 'boolean') return { kind: 'broken', reason: 'it does not say whether the account is active' };
  const status = member(account, 'status');
  return { kind: 'account', timeUs, did, active, status: typeof status === 'string' ? status.slice(0, 60) : active ? 'active' : 'unknown' };
}
