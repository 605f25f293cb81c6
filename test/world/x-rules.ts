/** The part of X's rule language that Watershed writes, judged the fake's own way and not by our matcher. */
export interface JudgedPost {
  readonly text: string;
  readonly lang: string;
  readonly author: { readonly id: string; readonly username: string };
  readonly quotedText?: string;
}

/** Whether a post matches; undefined where the rule is not one of X's. AND is a space and binds before OR. */
export function judge(rule: string, post: JudgedPost): boolean | undefined {
  const tokens = rule.match(/-?"[^"]*"|[()]|[^\s()]+/gu) ?? [];
  if (tokens.join('').length !== rule.replaceAll(/\s/gu, '').length + quotedSpaces(tokens) || tokens.length === 0) return undefined;
  let at = 0;
  const either = (): boolean => {
    let value = all();
    while (tokens[at] === 'OR') {
      at++;
      value = all() || value;
    }
    return value;
  };
  const all = (): boolean => {
    let value = true;
    while (at < tokens.length && tokens[at] !== 'OR' && tokens[at] !== ')') value = one() && value;
    return value;
  };
  const one = (): boolean => {
    const token = tokens[at++] ?? '';
    if (token !== '(') return token.startsWith('-') ? !holds(token.slice(1), post) : holds(token, post);
    const value = either();
    at++;
    return value;
  };
  return either();
}

function quotedSpaces(tokens: readonly string[]): number {
  return tokens.reduce((sum, token) => sum + (token.match(/\s/gu)?.length ?? 0), 0);
}

function holds(token: string, post: JudgedPost): boolean {
  const words = (text: string): string => ` ${text.toLowerCase().replaceAll(/[^\p{L}\p{M}\p{N}#_]+/gu, ' ')} `;
  const text = words(`${post.text} | ${post.quotedText ?? ''}`);
  if (token.startsWith('from:')) return [post.author.id, post.author.username.toLowerCase()].includes(token.slice(5).toLowerCase());
  if (token.startsWith('lang:')) return post.lang === token.slice(5);
  if (token.startsWith('#')) return text.includes(` ${token.toLowerCase()} `);
  const phrase = words(token.replaceAll('"', '')).trim();
  if (phrase === '') return post.text.includes(token.replaceAll('"', '')); // an emoji
  return text.replaceAll('#', '').includes(` ${phrase} `);
}
