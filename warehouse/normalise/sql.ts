/** Pieces of DuckDB SQL that the projections share. All are total: what does not fit gives null, never an error. */

/**
 * X escapes these three in texts, and no others; the ampersand comes last so that `&amp;lt;` stays `&lt;`. Few texts
 * hold one, and three replacements cost more than all the rest of a projection.
 */
export function unescaped(text: string): string {
  const replaced = `replace(replace(replace(${text}, '&lt;', '<'), '&gt;', '>'), '&amp;', '&')`;
  return `case when contains(${text}, '&') then ${replaced} else ${text} end`;
}

/**
 * The first element of a list of structs whose member is `value`. Three times cheaper than a `list_filter` that
 * compares within its lambda, which would carry `value` along for every element.
 */
export function where(list: string, member: string, value: string): string {
  return `${list}[list_position(list_transform(${list}, lambda x: x.${member}), ${value})]`;
}

/** A list of what `expression` (over `x`) gives for each element, without nulls; empty where `list` is null. */
export function each(list: string, expression: string): string {
  return `coalesce(list_filter(list_transform(${list}, lambda x: ${expression}), lambda y: y is not null), [])`;
}

/** An id of X, 1 to 20 digits, of something that has a text: a user, a count or a notice also has an id. Else null. */
export function xId(id: string, text: string): string {
  return `case when ${text} is not null and regexp_full_match(${id}, '[0-9]{1,20}') then ${id} end`;
}

/**
 * An ISO 8601 date and time as an instant; the session's time zone must be UTC. DuckDB also casts 'infinity', 'epoch',
 * years before Christ and bare dates, which no network sends: the pattern keeps them out. A cast to `timestamp` would
 * ignore the offset, but for a trailing Z it is right and does not go through ICU.
 */
export function isoInstant(text: string): string {
  return `case when ${text} like '____-__-__T__:__:%Z' then make_timestamptz(epoch_us(try_cast(${text} as timestamp)))`
    + ` when upper(${text}) like '____-__-__T__:__:%' then try_cast(upper(${text}) as timestamptz) end`;
}

/** The one form of date that API v1.1 has: `Wed Oct 10 20:19:24 +0000 2018`. */
export function v1Instant(text: string): string {
  return `make_timestamptz(epoch_us(try_strptime(${text}, '%a %b %d %H:%M:%S +0000 %Y')))`;
}

/** When the post with this id was written (see `snowflakeMs` in ingest/archive); null for ids before snowflakes. */
export function snowflakeInstant(id: string): string {
  const value = `try_cast(${id} as bigint)`;
  return `case when ${value} >= 29700859248 then make_timestamptz(((${value} >> 22) + 1288834974657) * 1000) end`;
}

/** Degrees within their range, or null. */
export function degrees(value: string, limit: 90 | 180): string {
  return `case when ${value} between -${limit} and ${limit} then ${value} end`;
}

/** A text, or null when it is empty. */
export function orNull(text: string): string {
  return `nullif(${text}, '')`;
}
