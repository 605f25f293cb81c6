import { lint, manifests, render, validate, type Manifest } from './helm.ts';

const minute = 60_000;
const split = {
  mode: 'split',
  secrets: { existing: 'lake-secrets', keys: ['DATABASE_URL', 'WATERSHED_ADMIN_TOKEN'] },
  settings: { WAREHOUSE_URI: 's3://bucket/lake', KAFKA_BROKERS: 'kafka:9092', KAFKA_REPLICATION: 3 },
};
const everything = {
  ...split,
  autoscaling: { enabled: true },
  ingress: { enabled: true, host: 'lake.example.org', tlsSecret: 'tls', className: 'nginx' },
  networkPolicy: { from: [{ namespaceSelector: { matchLabels: { name: 'ingress' } } }], metricsFrom: [{ namespaceSelector: {} }] },
  monitoring: { serviceMonitor: true, rules: true },
  dashboards: { enabled: true },
  tolerations: [{ key: 'spot', operator: 'Exists' }],
  image: { pullSecrets: ['registry'] },
  podAnnotations: { team: 'floods' },
};

const deployment = (all: readonly Manifest[], program: string): Manifest | undefined =>
  all.find((one) => one.kind === 'Deployment' && one.metadata.name === `lake-watershed-${program}`);
const named = (all: readonly Manifest[], kind: string): string[] =>
  all.filter((one) => one.kind === kind).map((one) => one.metadata.name).toSorted();

test.each([['embedded', {}], ['split', split], ['everything', everything]])(
  '%s: helm finds nothing to mend, and every Kubernetes takes each manifest, field by field', async (_name, values) => {
    expect(await lint(values)).toContain('0 chart(s) failed');
    const versions = ['1.27', '1.29', '1.31', '1.33', '1.35', '1.37'];
    const yaml = await render(values);
    const own = (yaml.match(/^kind: /gm) ?? []).length - (yaml.match(/^apiVersion: monitoring\.coreos\.com/gm) ?? []).length;
    expect(await validate(yaml, versions)).toEqual({ found: [], checked: own * versions.length });
  }, 10 * minute);

test('the validation notices a field that does not exist', async () => {
  const yaml = 'apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 1, protcol: TCP}]}\n';
  expect(await validate(yaml, ['1.33'])).toEqual({ found: [expect.stringContaining('protcol')], checked: 0 });
}, 5 * minute);

test('embedded is one pod with a volume; split is a Deployment per program with an active writer and a standby', async () => {
  const one = await manifests({});
  expect(named(one, 'StatefulSet')).toEqual(['lake-watershed']);
  expect(named(one, 'Deployment')).toEqual([]);
  const many = await manifests(split);
  expect(named(many, 'StatefulSet')).toEqual([]);
  const programs = ['ingest', 'sql', 'transform', 'warehouse'];
  expect(named(many, 'Deployment')).toEqual(programs.map((program) => `lake-watershed-${program}`));
  expect(deployment(many, 'warehouse')?.spec['replicas']).toBe(2);
  expect(many.find((each) => each.kind === 'Job')?.metadata.annotations).toMatchObject({ 'helm.sh/hook': 'pre-install,pre-upgrade' });
  expect(named(many, 'PodDisruptionBudget')).toEqual(['lake-watershed-sql', 'lake-watershed-warehouse']);
}, minute);

test('no pod runs as root, writes to its image, or holds a token of the cluster; secrets come by name only', async () => {
  const pods = [...await manifests(everything), ...await manifests({})]
    .filter((one) => ['Deployment', 'StatefulSet', 'Job'].includes(one.kind));
  expect(pods).toHaveLength(6);
  for (const pod of pods) {
    expect(pod.spec).toMatchObject({ template: { spec: {
      automountServiceAccountToken: false, securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [{
        securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } },
        resources: { requests: expect.objectContaining({ memory: expect.any(String) }), limits: { memory: expect.any(String) } },
      }],
    } } });
  }
  const secret = { name: 'DATABASE_URL', valueFrom: { secretKeyRef: { name: 'lake-secrets', key: 'DATABASE_URL' } } };
  const writer = deployment(await manifests(split), 'warehouse');
  expect(writer?.spec).toMatchObject({ template: { spec: { containers: [{ env: expect.arrayContaining([secret]) }] } } });
}, minute);

test('a whole number of a setting reaches the program in full, and the name of the Ingress as the origin', async () => {
  const all = await manifests({ ...everything, settings: { ...split.settings, WATERSHED_SQL_BYTES: 4_294_967_296_000 } });
  const env = expect.arrayContaining([
    { name: 'WATERSHED_SQL_BYTES', value: '4294967296000' }, { name: 'WATERSHED_HTTP_ORIGIN', value: 'https://lake.example.org' },
  ]);
  expect(deployment(all, 'sql')?.spec)
    .toMatchObject({ template: { spec: { containers: [{ env }] } } });
  // The autoscaler decides how many doors there are: a number here would undo it at every upgrade.
  expect(deployment(all, 'sql')?.spec).not.toHaveProperty('replicas');
}, minute);

test('reports reach the doors of other pods by the name of their Service; the pods have an account of their own, as the bucket asks for', async () => {
  const all = await manifests({ ...split, serviceAccount: { annotations: { role: 'reads-the-bucket' } }, networkPolicy: { egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/8' } }] }] } });
  expect(deployment(all, 'transform')?.spec).toMatchObject({ template: { spec: {
    serviceAccountName: 'lake-watershed', containers: [{ env: expect.arrayContaining([{ name: 'WATERSHED_SQL_URL', value: 'http://lake-watershed:8080' }]) }],
  } } });
  expect(named(all, 'ServiceAccount')).toEqual(['lake-watershed', 'lake-watershed-migrate']);
  for (const account of all.filter(({ kind }) => kind === 'ServiceAccount')) expect(account.metadata.annotations).toMatchObject({ role: 'reads-the-bucket' });
  expect(all.find(({ kind }) => kind === 'Job')?.spec).toMatchObject({ template: { spec: { serviceAccountName: 'lake-watershed-migrate' } } });
  expect(all.find(({ metadata }) => metadata.name === 'lake-watershed-egress')?.spec).toMatchObject({ policyTypes: ['Egress'] });
  expect(named(await manifests({ ...split, serviceAccount: { existing: 'ours' } }), 'ServiceAccount')).toEqual([]);
}, minute);

// What kube-linter and kubescape ask by default, in our words.
test.each([['embedded', {}], ['split', split], ['everything', everything]])('%s: what a strict reviewer asks of each manifest', async (_name, values) => {
  const all = await manifests(values);
  const pods = all.flatMap((one) => podOf(one));
  expect(pods.length).toBeGreaterThan(0);
  for (const { owner, labels, spec } of pods) {
    expect(spec).toMatchObject({ serviceAccountName: expect.stringMatching(/^lake-watershed/) });
    expect(Object.keys(spec).filter((key) => key.startsWith('host'))).toEqual([]);
    for (const container of spec.containers) {
      expect(container.image).toMatch(/:(?!latest$)[\w.-]+$/);
      expect(container.resources).toMatchObject({ requests: { cpu: expect.any(String), memory: expect.any(String) }, limits: { memory: expect.any(String) } });
      expect(container.env.filter(({ name, value }) => /TOKEN|PASSWORD|SECRET|DATABASE_URL/.test(name) && value !== undefined)).toEqual([]);
      if (owner.kind === 'Job') continue;
      expect(container).toMatchObject({ livenessProbe: expect.anything(), readinessProbe: expect.anything(), startupProbe: expect.anything() });
      // Each path that is written is a volume: the root file system is read-only.
      expect(container.volumeMounts.map(({ mountPath }) => mountPath).toSorted()).toEqual(['/data', '/tmp']);
    }
    if (Number(owner.spec['replicas'] ?? 1) > 1) expect(spec).toHaveProperty('affinity.podAntiAffinity');
    expect(labels).toMatchObject({ 'app.kubernetes.io/name': 'watershed', 'app.kubernetes.io/instance': 'lake', 'app.kubernetes.io/component': expect.any(String) });
  }
  const selects = (selector: object): boolean => pods.some(({ labels }) => Object.entries(selector).every(([key, value]) => labels[key] === value));
  for (const one of all) {
    const selector = one.kind === 'Service' ? one.spec['selector'] : one.kind === 'NetworkPolicy' ? matchLabels(one.spec['podSelector'])
      : one.kind === 'PodDisruptionBudget' ? matchLabels(one.spec['selector']) : undefined;
    if (typeof selector === 'object' && selector !== null) expect([one.metadata.name, selects(selector)]).toEqual([one.metadata.name, true]);
    expect(one.metadata.labels).toMatchObject({ 'app.kubernetes.io/managed-by': 'Helm' });
  }
}, minute);

interface Pod {
  readonly owner: Manifest;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: { readonly containers: readonly {
    readonly image: string; readonly resources: unknown; readonly env: readonly { name: string; value?: string }[]; readonly volumeMounts: readonly { mountPath: string }[];
  }[] };
}

function podOf(owner: Manifest): Pod[] {
  if (!['Deployment', 'StatefulSet', 'Job'].includes(owner.kind)) return [];
  // The shape was checked against the schemas of Kubernetes above.
  const { metadata, spec } = owner.spec['template'] as { metadata: { labels: Record<string, string> }; spec: Pod['spec'] };
  return [{ owner, labels: metadata.labels, spec }];
}

function matchLabels(selector: unknown): unknown {
  return typeof selector === 'object' && selector !== null && 'matchLabels' in selector ? selector.matchLabels : undefined;
}

test.each([
  ['a setting that does not exist', { settings: { WATERSHED_SMPLE: 'on' } }, "additional properties 'WATERSHED_SMPLE' not allowed"],
  ['a value out of range', { settings: { WATERSHED_SQL_CHILDREN: 0 } }, '/settings/WATERSHED_SQL_CHILDREN'],
  ['a value of the wrong type', { replicas: { sql: 'two' } }, '/replicas/sql'],
  ['a mode that does not exist', { mode: 'big' }, '/mode'],
  ['a secret as a setting', { settings: { DATABASE_URL: 'postgres://x' } }, "additional properties 'DATABASE_URL' not allowed"],
  ['split without a database', { mode: 'split' }, 'needs a PostgreSQL that all pods reach'],
  ['split without a shared store', { ...split, settings: {} }, 'needs a store that all pods reach'],
  ['split without an admin token', { ...split, secrets: { existing: 'a', keys: ['DATABASE_URL'] } }, 'one admin token for all pods'],
  ['keys without a Secret', { secrets: { keys: ['REDIS_URL'] } }, 'does not say in which Secret'],
  ['a Secret without keys', { secrets: { existing: 'a' } }, 'list them'],
  ['autoscaling of one pod', { autoscaling: { enabled: true } }, 'autoscaling.enabled needs mode: split'],
  ['autoscaling without a CPU request', { ...split, autoscaling: { enabled: true }, resources: { sql: { requests: null } } }, 'requests.cpu'],
  ['autoscaling upside down', { ...split, autoscaling: { enabled: true, min: 9, max: 3 } }, 'autoscaling.min 9 is more than'],
  ['Trino without a store', { secrets: { existing: 'a', keys: ['TRINO_URL', 'DATABASE_URL'] } }, 'Trino cannot read files inside our pod'],
  ['Trino without a database', { settings: { WAREHOUSE_URI: 's3://b/l' }, secrets: { existing: 'a', keys: ['TRINO_URL'] } }, 'TRINO_URL needs DATABASE_URL'],
  ['half a login for S3', { secrets: { existing: 'a', keys: ['WAREHOUSE_S3_ACCESS_KEY'] } }, 'go together'],
  ['half a login for Kafka', { settings: { KAFKA_BROKERS: 'k:9092', KAFKA_SASL_MECHANISM: 'plain' } }, 'needs settings.KAFKA_USERNAME'],
  ['a login for no Kafka', { secrets: { existing: 'a', keys: ['KAFKA_PASSWORD'] } }, 'but no settings.KAFKA_BROKERS'],
  ['an Ingress without host', { ingress: { enabled: true } }, 'needs ingress.host'],
  ['two names for one page', { ingress: { enabled: true, host: 'a.example.org' }, settings: { WATERSHED_HTTP_ORIGIN: 'https://b.example.org' } }, 'make them one'],
  ['metrics that need a token', { monitoring: { serviceMonitor: true } }, 'needs WATERSHED_ADMIN_TOKEN'],
])('refused with a sentence: %s', async (_name, values, sentence) => {
  await expect(render(values)).rejects.toThrow(sentence);
}, minute);
