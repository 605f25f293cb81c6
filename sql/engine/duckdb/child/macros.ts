/**
 * DuckDB computes parts of an instant with zone through ICU, ten times slower than of one without. Macros with the
 * names of the built-ins, in the schema that is searched first, take the detour over TIMESTAMP: right because every
 * session runs in UTC. The branches fall away when the statement is bound, since the type is known then. `cast_to_type`
 * only looks at the type of its second argument and gives both branches the built-in's own type; `epoch_us` of an
 * infinite instant is null, which leaves those to the built-in. macros.test.ts compares all with the built-ins. (A
 * million rows: 565 ms became 64.)
 */
export function clockMacros(schema: string): string[] {
  return [
    ...['date_trunc', 'datetrunc'].map((name) => roundDown(schema, name, 'part')),
    roundDown(schema, 'time_bucket', 'width', ['origin']),
    ...['date_part', 'datepart'].map((name) => partOf(schema, name)),
    formatOf(schema),
    ...singleParts.map((name) => singlePart(schema, name)),
  ];
}

const singleParts = [
  'year',
  'month',
  'day',
  'hour',
  'minute',
  'second',
  'millisecond',
  'microsecond',
  'dayofweek',
  'weekday',
  'isodow',
  'dayofmonth',
  'dayofyear',
  'week',
  'weekofyear',
  'quarter',
  'isoyear',
  'yearweek',
  'decade',
  'century',
  'millennium',
  'dayname',
  'monthname',
  'last_day',
];

const withZone = "typeof(moment) = 'TIMESTAMP WITH TIME ZONE'";
// Before year 1 ICU counts by eras: null, which the built-in then answers.
const inUtc = 'make_timestamp(CASE WHEN epoch_us(moment) >= -62135596800000000 THEN epoch_us(moment) END)';

/** Functions that give an instant again. With more arguments they are the built-in. */
function roundDown(schema: string, name: string, first: string, more: readonly string[] = []): string {
  const builtIn = `system.main.${name}(${first}, moment)`;
  const fast = `make_timestamptz(epoch_us(system.main.${name}(${first}, ${inUtc})))`;
  const plain = more
    .map((extra) => `, (${first}, moment, ${extra}) AS system.main.${name}(${first}, moment, ${extra})`)
    .join('');
  return `CREATE MACRO ${schema}.${name}(${first}, moment) AS CASE WHEN ${withZone}
    THEN coalesce(cast_to_type(${fast}, ${builtIn}), ${builtIn}) ELSE ${builtIn} END${plain}`;
}

function partOf(schema: string, name: string): string {
  const builtIn = `system.main.${name}(part, moment)`;
  // The parts timezone, timezone_hour and timezone_minute are of the zone itself; julian days are counted in the zone.
  // A list of parts gives a struct.
  return `CREATE MACRO ${schema}.${name}(part, moment) AS CASE
    WHEN ${withZone} AND typeof(part) = 'VARCHAR' AND NOT regexp_matches(lower(part::VARCHAR), '^(timezone|julian|jd|epoch|era)')
    THEN coalesce(system.main.${name}(part, ${inUtc}), ${builtIn}) ELSE ${builtIn} END`;
}

function formatOf(schema: string): string {
  const builtIn = 'system.main.strftime(moment, format)';
  return `CREATE MACRO ${schema}.strftime(moment, format) AS CASE
    WHEN ${withZone} AND NOT contains(lower(format::VARCHAR), '%z')
    THEN coalesce(system.main.strftime(${inUtc}, format), ${builtIn}) ELSE ${builtIn} END`;
}

function singlePart(schema: string, name: string): string {
  return `CREATE MACRO ${schema}.${name}(moment) AS CASE WHEN ${withZone}
    THEN coalesce(system.main.${name}(${inUtc}), system.main.${name}(moment)) ELSE system.main.${name}(moment) END`;
}
