// Makes helm/values.schema.json and the tables of helm/README.md from the options of core/config.ts and the chart's own
// values, so that neither can differ from what the programs accept. `node build/chart.ts` writes; the chart's test says
// when it must.
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { options, type Option } from '#core/config.ts';

const root = join(import.meta.dirname, '..');
const helm = join(root, 'helm');

interface Schema {
  readonly [key: string]: unknown;
}

/** Decided by the chart: a pod that listened elsewhere would be reached by nobody. */
const fixed = new Set([
  'WATERSHED_DATA_DIR', 'WATERSHED_HTTP_HOST', 'WATERSHED_HTTP_PORT', 'WATERSHED_PGWIRE_PORT', 'WATERSHED_METRICS_PORT',
]);
const entries: readonly (readonly [string, Option])[] = Object.entries(options);
const settings = entries.filter(([name, option]) => option.secret !== true && !fixed.has(name));
const secrets = entries.filter(([, option]) => option.secret === true);

const text = (description: string, more: Schema = {}): Schema => ({ type: 'string', description, ...more });
const flag = (description: string): Schema => ({ type: 'boolean', description });
const whole = (description: string, minimum: number, maximum: number): Schema => ({ type: 'integer', description, minimum, maximum });
const anyObject = (description: string): Schema => ({ type: 'object', description, leaf: true });
const anyList = (description: string): Schema => ({ type: 'array', description, items: { type: 'object' } });
const object = (properties: Schema, more: Schema = {}): Schema =>
  ({ type: 'object', additionalProperties: false, properties, ...more });
const quantity = { pattern: '^[0-9]+(\\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$' };

function resources(program: string): Schema {
  return anyObject(`CPU and memory of ${program}, as Kubernetes names them`);
}

function settingSchema([name, option]: readonly [string, Option]): [string, Schema] {
  switch (option.type) {
    case 'text': return [name, text(option.description, option.pattern === undefined ? {} : { pattern: option.pattern.source })];
    case 'number': return [name, whole(`${option.description} (${option.unit})`, option.min, option.max)];
    // Quoted in YAML: a bare on or off is a boolean there, and would not be what the program reads.
    case 'choice': return [name, text(option.description, { enum: option.choices })];
  }
}

const chart: Schema = {
  mode: text('embedded: one pod with a volume that holds everything; split: a Deployment per program, on engines of your own',
    { enum: ['embedded', 'split'] }),
  image: object({
    repository: text('Where the image is, without tag', { minLength: 1 }),
    tag: text("The image's tag; empty is the chart's appVersion"),
    pullPolicy: text('When the image is pulled', { enum: ['Always', 'IfNotPresent', 'Never'] }),
    pullSecrets: { type: 'array', description: 'Names of Secrets for pulling', items: { type: 'string' } },
  }),
  settings: object(Object.fromEntries(settings.map(settingSchema)), { description: 'Settings of the programs, by the names of their variables' }),
  secrets: object({
    existing: text('Name of an existing Secret whose keys are named like the variables'),
    keys: { type: 'array', description: 'Which of its keys are used', uniqueItems: true, items: { enum: secrets.map(([name]) => name) } },
  }),
  persistence: object({
    size: text('Size of the volume in embedded mode', quantity),
    storageClass: text("Its storage class; empty is the cluster's own choice"),
    accessMode: text('How it is mounted', { enum: ['ReadWriteOnce', 'ReadWriteOncePod'] }),
  }),
  scratch: object({ size: text('Most that a pod in split mode keeps on its node (staging, spill, cached files)', quantity) }),
  replicas: object({
    ingest: whole('Collectors; a source is read by one at a time, by lease', 1, 20),
    warehouse: whole('Writers; one is active by lease, the others stand by', 1, 5),
    transform: whole('Workers of jobs', 1, 100),
    sql: whole('Doors, where they are not scaled automatically', 1, 100),
  }),
  resources: object(Object.fromEntries(['embedded', 'ingest', 'warehouse', 'transform', 'sql', 'migrate'].map((name) => [name, resources(name)]))),
  autoscaling: object({
    enabled: flag('Whether the doors are scaled with their CPU (mode: split)'),
    min: whole('Fewest doors', 1, 100),
    max: whole('Most doors', 1, 1000),
    cpuPercent: whole('CPU in percent of what is requested, at which doors are added', 1, 100),
  }),
  serviceAccount: object({
    existing: text('Name of an existing ServiceAccount; empty makes one without rights'),
    annotations: anyObject('Annotations of the one that is made, such as the role by which a cloud lets it into the bucket'),
  }),
  service: object({
    type: text('Type of the Service', { enum: ['ClusterIP', 'NodePort', 'LoadBalancer'] }), annotations: anyObject('Its annotations'),
  }),
  ingress: object({
    enabled: flag('Whether an Ingress leads to the page'),
    className: text('Its class'),
    host: text('The name people use; it becomes WATERSHED_HTTP_ORIGIN'),
    tlsSecret: text('Secret with the certificate; empty is plain HTTP'),
    annotations: anyObject('Its annotations'),
  }),
  networkPolicy: object({
    enabled: flag('Whether calls are let in only where they are named'),
    from: anyList('Callers of the doors besides our own namespace (ingress controller, Grafana), as NetworkPolicy peers'),
    metricsFrom: anyList('Who may read metrics (Prometheus), as NetworkPolicy peers'),
    egress: anyList('Where pods may call besides each other and DNS, as NetworkPolicy egress rules; empty is anywhere'),
  }),
  monitoring: object({
    serviceMonitor: flag('Whether a ServiceMonitor (and in split mode a PodMonitor) is made; needs the Prometheus Operator'),
    rules: flag('Whether the alert rules are made as a PrometheusRule; needs the Prometheus Operator'),
    interval: text('How often metrics are read', { pattern: '^[0-9]+(ms|s|m)$' }),
    labels: anyObject('Labels by which the Prometheus Operator finds them'),
  }),
  dashboards: object({
    enabled: flag("Whether Grafana's dashboards are made as ConfigMaps"), labels: anyObject('Labels by which the sidecar of Grafana finds them'),
  }),
  podDisruptionBudget: object({ enabled: flag('Whether draining a node leaves one writer and all doors but one (mode: split)') }),
  nodeSelector: anyObject('Nodes to run on'),
  tolerations: anyList('Taints to tolerate'),
  affinity: anyObject('Affinity; empty spreads the pods of a program over nodes'),
  podAnnotations: anyObject('Annotations of every pod'),
};

/** The text of helm/values.schema.json. */
export function schemaText(): string {
  const schema = { $schema: 'http://json-schema.org/draft-07/schema#', title: 'Values of the chart watershed', ...object(chart) };
  // `leaf` is a mark for the table below, no word of JSON Schema.
  return `${JSON.stringify(schema, (key, value: unknown) => (key === 'leaf' ? undefined : value), 2)}\n`;
}

/** The tables of helm/README.md. */
export function tablesText(): string {
  const values: unknown = load(readFileSync(join(helm, 'values.yaml'), 'utf8'));
  const rows = Object.entries(chart).flatMap(([name, schema]) => rowsOf(name, schema, field(values, name)));
  const settingRows = settings.map(([name, option]) =>
    `| \`settings.${name}\` | ${code(option.default)} | ${cell(`${option.description}${allowed(option)}`)} |`);
  const secretRows = secrets.map(([name, option]) => `| \`${name}\` | ${cell(option.description)} |`);
  return [
    '| value | default | what it is |', '|---|---|---|', ...rows, '',
    'Settings are checked before anything reaches the cluster; what is not given is as below.', '',
    '| value | default | what it is |', '|---|---|---|', ...settingRows, '',
    'Keys that the existing Secret may have, and `secrets.keys` may name:', '',
    '| key | what it is |', '|---|---|', ...secretRows, '',
  ].join('\n');
}

function rowsOf(path: string, schema: unknown, value: unknown): string[] {
  if (path === 'settings') return [];
  const properties = field(schema, 'properties');
  if (typeof properties === 'object' && properties !== null) {
    return Object.entries(properties).flatMap(([name, inner]) => rowsOf(`${path}.${name}`, inner, field(value, name)));
  }
  const choices = field(schema, 'enum');
  const more = Array.isArray(choices) ? ` (${choices.join(', ')})` : '';
  return [`| \`${path}\` | ${code(value)} | ${cell(`${String(field(schema, 'description'))}${more}`)} |`];
}

function field(of: unknown, name: string): unknown {
  return typeof of === 'object' && of !== null ? Object.entries(of).find(([key]) => key === name)?.[1] : undefined;
}

function allowed(option: Option): string {
  if (option.type === 'number') return ` (${option.min} to ${option.max} ${option.unit})`;
  return option.type === 'choice' ? ` (${option.choices.join(', ')})` : '';
}

const code = (value: unknown): string =>
  value === undefined || value === '' ? '' : `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
const cell = (said: string): string => said.replaceAll('|', '\\|');

const begin = '<!-- generated by build/chart.ts: begin -->';
const end = '<!-- generated by build/chart.ts: end -->';

/** helm/README.md with its tables made anew. */
export function readmeText(): string {
  const readme = readFileSync(join(helm, 'README.md'), 'utf8');
  const [before, rest] = readme.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error('helm/README.md has lost the marks between which its tables stand');
  return `${before}${begin}\n\n${tablesText()}\n${end}${after}`;
}

/** A chart reads no file outside itself: dashboards are copied into it. Pairs of paths, from and to. */
export function dashboardFiles(): [from: string, to: string][] {
  const folder = join(root, 'dashboards', 'grafana', 'generated', 'postgres', 'dashboards');
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => name.endsWith('.json'))
    .map((name) => [join(folder, name), join(helm, 'files', 'dashboards', name)]);
}

if (import.meta.main) {
  writeFileSync(join(helm, 'values.schema.json'), schemaText());
  writeFileSync(join(helm, 'README.md'), readmeText());
  rmSync(join(helm, 'files', 'dashboards'), { recursive: true, force: true });
  mkdirSync(join(helm, 'files', 'dashboards'), { recursive: true });
  for (const [from, to] of dashboardFiles()) copyFileSync(from, to);
}
