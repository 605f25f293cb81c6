import { homedir } from 'node:os';
import { WatershedError } from './errors.ts';

/** One option: read once from the environment. README, `--help` and the chart's schema are derived from this table. */
interface OptionBase {
  readonly description: string;
  readonly secret?: true;
}
interface TextOption<Default extends string | undefined = string | undefined> extends OptionBase {
  readonly type: 'text'; readonly default: Default; readonly pattern?: RegExp;
}
interface NumberOption extends OptionBase {
  readonly type: 'number'; readonly default: number; readonly min: number; readonly max: number; readonly unit: string;
}
interface ChoiceOption<Choice extends string = string> extends OptionBase {
  readonly type: 'choice'; readonly default: Choice; readonly choices: readonly Choice[];
}
export type Option = TextOption | NumberOption | ChoiceOption;

const text = <Default extends string | undefined>(
  fallback: Default, description: string, more: { secret?: true; pattern?: RegExp } = {},
): TextOption<Default> => ({ type: 'text', default: fallback, description, ...more });
const number = (fallback: number, min: number, max: number, unit: string, description: string): NumberOption =>
  ({ type: 'number', default: fallback, min, max, unit, description });
const choice = <const Choice extends string>(fallback: NoInfer<Choice>, choices: readonly Choice[], description: string): ChoiceOption<Choice> =>
  ({ type: 'choice', default: fallback, choices, description });

export const options = {
  WATERSHED_DATA_DIR: text('./data', 'Folder of everything that is kept: database, lake, tokens'),
  WATERSHED_HTTP_HOST: text('127.0.0.1', 'Address the page and the API listen on'),
  WATERSHED_HTTP_PORT: number(8080, 0, 65535, 'port', 'Port of the page and the API; 0 takes a free one'),
  WATERSHED_HTTP_ORIGIN: text(undefined, 'Address people see when a proxy stands in front, such as https://lake.example.org'),
  WATERSHED_SQL_URL: text(undefined, 'Address of the SQL door for reports and alerts, where it runs in another process, such as http://sql:8080',
    { pattern: /^https?:\/\/[^/?#\s]+$/ }),
  WATERSHED_PGWIRE_PORT: number(5439, 0, 65535, 'port', 'Port of the Postgres wire; 0 takes a free one'),
  WATERSHED_PGWIRE_TLS: choice('on', ['on', 'required', 'off'],
    'Whether the Postgres wire offers TLS, takes nothing else, or has none'),
  WATERSHED_PGWIRE_TLS_CERT: text(undefined, 'PEM file of its certificate (chain); without it a self-signed one is made in the data folder'),
  WATERSHED_PGWIRE_TLS_KEY: text(undefined, 'PEM file of the key that belongs to it'),
  WATERSHED_METRICS_PORT: number(9464, 0, 65535, 'port', 'Port of /metrics for a program that runs alone; 0 takes a free one'),
  WATERSHED_ADMIN_TOKEN: text(undefined, 'Token of the administrator, 20 characters or more; without it one is made in the data folder',
    { secret: true, pattern: /^[\x21-\x7e]{20,200}$/ }),
  WATERSHED_SAMPLE: choice('on', ['on', 'off'], 'Whether an empty lake replays the sample events'),
  WATERSHED_SAMPLE_SPEED: text('15000', 'How the sample is played: a factor (3600 plays an hour in a second), or max',
    { pattern: /^(max|\d+(\.\d+)?)$/ }),
  WATERSHED_LOG_LEVEL: choice('warn', ['debug', 'info', 'warn', 'error', 'silent'], 'How much is logged to standard error'),
  WATERSHED_LOG_PARTITIONS: number(4, 1, 64, 'partitions', 'Partitions of topic posts when it is made'),
  WATERSHED_LOG_RETENTION_HOURS: number(168, 0, 87600, 'hours', 'The log keeps records at least this long, and all that are in no table yet'),
  WATERSHED_COMMIT_INTERVAL_MS: number(500, 50, 60000, 'ms', 'Longest time a record waits for its commit'),
  WATERSHED_BATCH_BYTES: number(64 * 1024 * 1024, 1024, 1024 ** 3, 'bytes', 'A batch of the writer is closed at this size'),
  WATERSHED_MEMORY_BYTES: number(1024 ** 3, 300_000_000, 64 * 1024 ** 3, 'bytes', 'Memory DuckDB may take, per process'),
  WATERSHED_SQL_CHILDREN: number(2, 1, 64, 'processes', 'Statements that run at once, one per child process'),
  WATERSHED_SQL_TIMEOUT_MS: number(60000, 100, 86400000, 'ms', 'Longest time a statement may run'),
  WATERSHED_SQL_ROWS: number(10_000_000, 1, 1e12, 'rows', 'Most rows one statement returns'),
  WATERSHED_SQL_BYTES: number(4 * 1024 ** 3, 1024, 1e15, 'bytes', 'Most bytes one statement returns'),
  WATERSHED_X_URL: text('https://api.x.com', 'Address of the X API'),
  WATERSHED_X_BEARER_TOKEN: text(undefined, 'App-only bearer token of the X API; without it X is not collected', { secret: true }),
  WATERSHED_X_POSTS_PER_MONTH: number(0, 0, 1e9, 'posts', 'Collecting from X stops before this many posts a month; 0 is no limit'),
  WATERSHED_BLUESKY_URL: text(
    'wss://jetstream1.us-east.bsky.network/subscribe,wss://jetstream2.us-east.bsky.network/subscribe,'
      + 'wss://jetstream1.us-west.bsky.network/subscribe,wss://jetstream2.us-west.bsky.network/subscribe',
    'Jetstream addresses, separated by commas, in order of preference'),
  WATERSHED_CLASSIFIER_URL: text(undefined,
    'OpenAI-compatible API of a language model that classifies posts instead of the built-in model, such as http://127.0.0.1:11434/v1'),
  WATERSHED_CLASSIFIER_MODEL: text(undefined, 'Name of that model'),
  WATERSHED_CLASSIFIER_API_KEY: text(undefined, 'Key for that API', { secret: true }),
  WATERSHED_CLASSIFIER_POSTS_PER_DAY: number(10_000, 1, 1e9, 'posts', 'Posts that model is asked about in 24 hours at most'),
  WATERSHED_HOT_BYTES: number(192 * 1024 * 1024, 1024 ** 2, 1024 ** 4, 'bytes',
    'So much of a table may stay in files of mixed events and days before upkeep files it away'),
  WATERSHED_ORPHAN_AGE_HOURS: number(72, 24, 87600, 'hours', 'Files that no table names are deleted when they are older'),
  WATERSHED_SMTP_URL: text(undefined, 'Mail server for reports, such as smtps://user:password@host', { secret: true }),
  WATERSHED_MAIL_FROM: text('watershed@localhost', 'Sender of reports'),
  DATABASE_URL: text(undefined, 'PostgreSQL to use instead of the embedded one', { secret: true }),
  KAFKA_BROKERS: text(undefined, 'Kafka brokers (host:port, comma separated) to use instead of the embedded log'),
  KAFKA_SASL_MECHANISM: choice('none', ['none', 'plain', 'scram-sha-256', 'scram-sha-512'], 'How we log in to Kafka'),
  KAFKA_USERNAME: text(undefined, 'User for Kafka'),
  KAFKA_PASSWORD: text(undefined, 'Password for Kafka', { secret: true }),
  KAFKA_TLS: choice('off', ['on', 'off'], 'Whether Kafka is spoken to over TLS'),
  KAFKA_REPLICATION: number(1, 1, 10, 'copies', 'Replication factor of topics we make'),
  REDIS_URL: text(undefined, 'Redis for the job queue instead of PostgreSQL', { secret: true }),
  TRINO_URL: text(undefined, 'Trino to run statements on instead of DuckDB', { secret: true }),
  TRINO_CATALOG: text('lake', 'Name of the Iceberg catalog in Trino'),
  WAREHOUSE_URI: text(undefined, 'Where tables are kept, such as s3://bucket/prefix; default is the data folder'),
  WAREHOUSE_S3_ENDPOINT: text(undefined, 'Address of an S3-compatible store'),
  WAREHOUSE_S3_REGION: text('us-east-1', 'Region of the bucket'),
  WAREHOUSE_S3_PATH_STYLE: choice('off', ['on', 'off'], 'Whether the bucket stands in the path instead of the host name'),
  WAREHOUSE_S3_ACCESS_KEY: text(undefined, 'Access key; without it the usual AWS chain is asked', { secret: true }),
  WAREHOUSE_S3_SECRET_KEY: text(undefined, 'Secret key', { secret: true }),
} as const satisfies Record<string, Option>;

export type OptionName = keyof typeof options;
type ValueOf<O> = O extends NumberOption ? number : O extends ChoiceOption<infer Choice> ? Choice
  : O extends TextOption<infer Default> ? string | Extract<Default, undefined> : never;
export type Config = { readonly [Name in OptionName]: ValueOf<(typeof options)[Name]> };

/**
 * Reads every option once. Throws `bad_config` naming the variable, its value (not of secrets) and what is allowed,
 * also for a variable `WATERSHED_…` that does not exist. An empty value counts as not given.
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>> = process.env): Config {
  for (const name of Object.keys(environment)) {
    if (name.startsWith('WATERSHED_') && !Object.hasOwn(options, name)) {
      const near = nearest(name);
      throw new WatershedError('bad_config', `there is no setting ${name}`, { hint: `the nearest one is ${near}; --help lists all` });
    }
  }
  const entries = Object.entries(options).map(([name, option]: [string, Option]) => [name, parse(name, option, environment[name])]);
  // Each value was parsed by its own option: the shape is that of the table.
  return Object.fromEntries(entries) as Config;
}

/** The folder `WATERSHED_DATA_DIR` names, with `~/` replaced. */
export function expandHome(folder: string): string {
  return folder.startsWith('~/') ? `${homedir()}${folder.slice(1)}` : folder;
}

function parse(name: string, option: Option, given: string | undefined): string | number | undefined {
  if (given === undefined || given === '') return option.default;
  const shown = option.secret ? 'the given value (secret)' : JSON.stringify(given);
  const refuse = (allowed: string): never => {
    throw new WatershedError('bad_config', `${name} cannot be ${shown}`, { hint: `allowed is ${allowed}` });
  };
  switch (option.type) {
    case 'text':
      if (option.pattern !== undefined && !option.pattern.test(given)) refuse(`what matches ${option.pattern.source}`);
      return given;
    case 'number': {
      const value = Number(given);
      const fits = given.trim() !== '' && Number.isInteger(value) && value >= option.min && value <= option.max;
      return fits ? value : refuse(`a whole number of ${option.unit} from ${option.min} to ${option.max}`);
    }
    case 'choice':
      return option.choices.includes(given) ? given : refuse(option.choices.join(' or '));
  }
}

function nearest(name: string): string {
  const distance = (a: string, b: string): number => {
    let row = Array.from({ length: b.length + 1 }, (_, index) => index);
    for (let i = 1; i <= a.length; i++) {
      const next = [i];
      for (let j = 1; j <= b.length; j++) {
        next[j] = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1));
      }
      row = next;
    }
    return row[b.length] ?? 0;
  };
  return Object.keys(options).toSorted((a, b) => distance(name, a) - distance(name, b))[0] ?? '';
}
