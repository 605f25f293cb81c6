import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadAll } from 'js-yaml';
import { cachedFolder, go, program, run } from '../services/install.ts';
import { runPython } from '../services/python.ts';
import { removeFolder, temporaryFolder } from '../services/process.ts';

const helmVersion = 'v3.22.0';
export const chart = join(import.meta.dirname, '..', '..', 'helm');

async function helm(): Promise<string> {
  const folder = await cachedFolder(`helm-${helmVersion}`, async (half) => {
    await run(await go(), ['install', `helm.sh/helm/v3/cmd/helm@${helmVersion}`], { env: { GOBIN: half, GOFLAGS: '-mod=mod' } });
  });
  return join(folder, 'helm');
}

export async function lint(values: object): Promise<string> {
  return withValues(values, async (file) => run(await helm(), ['lint', '--strict', chart, '--values', file]));
}

/** What a release called `lake` makes of the values, as text. Rejects with what helm said. */
export async function render(values: object): Promise<string> {
  return withValues(values, async (file) =>
    run(await helm(), ['template', 'lake', chart, '--kube-version', '1.33.0', '--values', file, '--namespace', 'crisis']));
}

export interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly annotations?: object };
  readonly spec: Readonly<Record<string, unknown>>;
  readonly data?: Readonly<Record<string, string>>;
}

export async function manifests(values: object): Promise<Manifest[]> {
  // What the API takes is checked by `validate`; here the shape is that of every manifest.
  return loadAll(await render(values)).filter((one) => one !== null && one !== undefined) as Manifest[];
}

/** What kubernetes-validate (strict: no unknown field) finds wrong; kinds of the Prometheus Operator are not its own. */
export async function validate(yaml: string, versions: readonly string[]): Promise<unknown> {
  const environment = await cachedFolder('python-kubernetes-1.37.0', async (half) => {
    await run(await program('python3', 'python3-venv'), ['-m', 'venv', '--copies', half]);
    await run(join(half, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', 'kubernetes-validate==1.37.0']);
  });
  return withFile('manifests.yaml', yaml, (file) =>
    runPython(script, [file, ...versions], Promise.resolve(join(environment, 'bin', 'python'))));
}

const script = `
import json, sys, yaml, kubernetes_validate
found, checked = [], 0
for one in yaml.safe_load_all(open(sys.argv[1])):
    if one is None or one['apiVersion'].startswith('monitoring.coreos.com'): continue
    for version in sys.argv[2:]:
        try:
            kubernetes_validate.validate(one, version, strict=True)
            checked += 1
        except kubernetes_validate.ValidationError as error:
            found.append(f"{version} {one['kind']} {one['metadata']['name']}: {error.message}")
print(json.dumps({'found': found, 'checked': checked}))
`;

function withValues<T>(values: object, work: (file: string) => Promise<T>): Promise<T> {
  return withFile('values.json', JSON.stringify(values), work);
}

async function withFile<T>(name: string, content: string, work: (file: string) => Promise<T>): Promise<T> {
  const folder = await temporaryFolder('helm');
  try {
    await writeFile(join(folder, name), content);
    return await work(join(folder, name));
  } finally {
    await removeFolder(folder);
  }
}
