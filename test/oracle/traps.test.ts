import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

// Which test stands for which weakness of earlier systems, and for which trap of X's documentation and of twitter-api-v2's
// stream. A test that is renamed or lost is missed here.

const root = join(import.meta.dirname, '../..');
const names = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.test.ts'], { cwd: root, encoding: 'utf8' })
  .split('\n').filter((file) => file !== '' && file !== 'test/oracle/traps.test.ts')
  .flatMap((file) => readFileSync(join(root, file), 'utf8').split('\n').filter((line) => /[('](peers g|sources 3)/.test(line)));

test.each([
  ['g1 1', 'following an event cannot be turned off'],
  ['g1 2', 'events cannot be edited or deleted'],
  ['g1 3', 'posts are missed while keywords change'],
  ['g1 4', 'parts of words match; hashtags, addresses and quoted texts do not'],
  ['g1 5', 'all keywords are kept instead of those that matched'],
  ['g1 6', 'a restart doubles rows, a failed write loses them'],
  ['g1 7', 'any error ends the tracker; a long line ends the stream; silence is not noticed'],
  ['g1 8', 'secrets are copied about'],
  ['g1 9', 'deletions and limits are only logged'],
  ['g2 1', 'one message in nine is dropped'],
  ['g2 2', 'a change closes the connection and waits for the next post'],
  ['g2 3', 'offsets are committed in the middle of what was read'],
  ['g2 4', 'keywords are looked for in the JSON'],
  ['g2 5', 'small events are invisible up to an hour'],
  ['g2 6', 'a restart of the broker loses data'],
  ['g2 7', 'events are not editable'],
  ['g2 11', 'analysis only after pausing'],
  ['g2 13', 'the API that is asked no longer exists'],
])('a test is named after peers %s: %s', (number) => {
  expect(names.filter((name) => new RegExp(`peers ${number}\\b`).test(name))).not.toEqual([]);
});

test.each([
  ['3.1', 'rules of up to 1,024 characters', 'several rules, each short enough'],
  ['3.1', 'the cap of rules', 'room for no more rules'],
  ['3.1', '100 calls for rules in 15 minutes', 'a burst of edits is one change'],
  ['3.1', 'posts are billed, and capped by month', 'the budget of the month'],
  ['3.1', 'the usage cap as X names it', 'usage cap that X names'],
  ['3.1', 'operators, and what binds before what', 'terms, phrases, hashtags'],
  ['3.1', 'accents must match exactly', 'accents stay as they are written'],
  ['3.1', 'quoted texts match, long posts are cut off', 'in the whole of its note'],
  ['3.1', 'rules change without a new connection', 'without a new connection'],
  ['3.1', 'X says which rules matched', 'to which events a post belongs'],
  ['3.1', 'a refused rule', 'a rule that X refuses'],
  ['3.1', 'keep-alives every 20 s', 'without a byte for 20 s'],
  ['3.1', 'duplicates, any order', 'duplicates and any order'],
  ['3.1', 'edits are posts with ids of their own, unknown members', 'an edited post has an id of its own'],
  ['3.1', 'unknown types of messages', 'unknown messages, broken JSON'],
  ['3.1', 'reconnect at once', 'is opened again at once'],
  ['3.1', 'back-off by kind of error, 429 by its header', '429 with and without a reset header'],
  ['3.1', 'alert at the longest wait', 'at the longest wait'],
  ['3.1', 'a full buffer at X drops the connection', 'while the log is slow'],
  ['3.1', 'operational disconnects', 'operational disconnect'],
  ['3.1', '409 is a stream without rules', '409 means'],
  ['3.1', 'gaps are filled by recent search alone', 'filled page by page'],
  ['3.1', 'search is limited', 'a search that is limited'],
  ['3.1', 'search is not part of every plan', 'where the plan has no search'],
  ['3.2', 'characters at chunk borders', 'cut at a chunk border'],
  ['3.2', 'keep-alives only as chunks of their own', 'alone in a chunk, within one'],
  ['3.2', '120 s of silence', 'without a byte for 20 s'],
  ['3.2', 'a ConnectionException is taken for a post', 'is no post'],
  ['3.2', 'TooManyConnections is never recovered from', 'TooManyConnections: survived'],
  ['3.2', 'a tight loop of connections', 'no tight loop'],
  ['3.2', 'what is not taken is held without limit', 'holds the reader back'],
  ['3.2', 'rules are not reconciled', 'what is right at X is left alone'],
  ['3.2', 'gaps are not recorded', 'a restart is a gap'],
  ['3.2', 'errors hold the token', 'the token is in the header'],
])('a test is named after sources %s, %s', (section, _, words) => {
  expect(names.filter((name) => /sources 3/.test(name) && name.includes(section) && name.includes(words))).not.toEqual([]);
});
