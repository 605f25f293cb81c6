import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Admin } from '@platformatic/kafka';
import { cachedFolder, java, program, run } from './install.ts';
import { freePorts, removeFolder, startProcess, temporaryFolder, waitUntilReady } from './process.ts';
import type { RunningProcess } from './process.ts';

const kafkaVersion = '4.1.0';

export interface KafkaOptions {
  readonly brokers?: 1 | 3;
  /** A second listener with a login, and a third one that is encrypted as well. */
  readonly login?: { readonly username: string; readonly password: string };
  /** More lines of server.properties. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Heap of each broker in MiB; 512 for one, 320 for three. */
  readonly heapMiB?: number;
}

interface KafkaNode {
  readonly id: number;
  readonly port: number;
  readonly process: () => RunningProcess;
  /** Starts it again after `process().kill()` or `stop()`, with its data and ports; resolves when it is back in the cluster. */
  restart(): Promise<void>;
}

export interface KafkaService extends AsyncDisposable {
  /** host:port of every broker, separated by commas. */
  readonly brokers: string;
  readonly nodes: readonly KafkaNode[];
  /** Only with `login`: the listeners that ask for it (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512). */
  readonly loginBrokers: string;
  readonly encryptedBrokers: string;
  /** The certificate that the encrypted listener shows, in PEM. */
  readonly certificate: string;
  /** Runs one of Kafka's own commands, such as kafka-topics.sh, and returns what it prints. */
  command(line: string): Promise<string>;
  stop(): Promise<void>;
}

/** Apache Kafka in KRaft mode, from Maven Central; ready when every broker is a member of the cluster. */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaService> {
  const count = options.brokers ?? 1;
  const [javaPath, library, folder] = await Promise.all([java(17), kafkaLibrary(), temporaryFolder('kafka')]);
  const ports = await freePorts(count * 4);
  const plan: Plan = {
    java: javaPath, classPath: `${library}/*`, folder, clusterId: randomBytes(16).toString('base64url'), options, count,
    heapMiB: options.heapMiB ?? (count === 1 ? 512 : 320),
    port: (node, listener) => ports[(node - 1) * 4 + listenerNames.indexOf(listener)] ?? 0,
    certificate: options.login === undefined ? '' : await makeCertificate(folder),
  };
  const ids = Array.from({ length: count }, (_, index) => index + 1);
  const addresses = (listener: ListenerName): string => ids.map((id) => `127.0.0.1:${plan.port(id, listener)}`).join(',');
  await Promise.all(ids.map((id) => format(plan, id)));
  const running = await Promise.all(ids.map((id) => launch(plan, id)));
  const stop = async (): Promise<void> => {
    await Promise.all(running.map((process) => process.kill()));
    await removeFolder(folder);
  };
  const ready = (id: number): Promise<void> => untilMember(plan, id, addresses('PLAINTEXT'), at(running, id));
  await Promise.all(ids.map(ready)).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return {
    brokers: addresses('PLAINTEXT'),
    loginBrokers: addresses('LOGIN'),
    encryptedBrokers: addresses('ENCRYPTED'),
    certificate: plan.certificate,
    async command(line) {
      const [script = '', ...args] = line.split(' ');
      const main = commands[script];
      if (main === undefined) throw new Error(`${script} is none of ${Object.keys(commands).join(', ')}`);
      return run(plan.java, ['-Xmx128m', '-XX:TieredStopAtLevel=1', '-cp', plan.classPath, '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', main, ...args]);
    },
    nodes: ids.map((id) => ({
      id,
      port: plan.port(id, 'PLAINTEXT'),
      process: () => at(running, id),
      async restart() {
        running[id - 1] = await launch(plan, id);
        await ready(id);
      },
    })),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** The classes that Kafka's shell scripts start. */
const commands: Readonly<Record<string, string>> = {
  'kafka-configs.sh': 'kafka.admin.ConfigCommand',
  'kafka-topics.sh': 'org.apache.kafka.tools.TopicCommand',
  'kafka-console-consumer.sh': 'org.apache.kafka.tools.consumer.ConsoleConsumer',
};

const listenerNames = ['PLAINTEXT', 'CONTROLLER', 'LOGIN', 'ENCRYPTED'] as const;
type ListenerName = (typeof listenerNames)[number];

interface Plan {
  readonly java: string;
  readonly classPath: string;
  readonly folder: string;
  readonly clusterId: string;
  readonly options: KafkaOptions;
  readonly count: number;
  readonly heapMiB: number;
  readonly port: (node: number, listener: ListenerName) => number;
  readonly certificate: string;
}

function at(running: readonly RunningProcess[], id: number): RunningProcess {
  const found = running[id - 1];
  if (found === undefined) throw new Error(`there is no broker ${id}`);
  return found;
}

const nodeFolder = (plan: Plan, id: number): string => join(plan.folder, `node-${id}`);
const properties = (plan: Plan, id: number): string => join(nodeFolder(plan, id), 'server.properties');

async function format(plan: Plan, id: number): Promise<void> {
  await mkdir(nodeFolder(plan, id), { recursive: true });
  const lines = Object.entries(settingsOf(plan, id)).map(([key, value]) => `${key}=${value}`);
  await writeFile(properties(plan, id), lines.join('\n'));
  const { login } = plan.options;
  const scram = login === undefined ? [] : ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) =>
    ['--add-scram', `${mechanism}=[name=${login.username},password=${login.password}]`]);
  await run(plan.java, ['-Xmx128m', '-XX:TieredStopAtLevel=1', '-cp', plan.classPath, 'kafka.tools.StorageTool', 'format',
    '-t', plan.clusterId, '-c', properties(plan, id), ...scram]);
}

function settingsOf(plan: Plan, id: number): Record<string, string> {
  const { login } = plan.options;
  const listeners: ListenerName[] = login === undefined ? ['PLAINTEXT'] : ['PLAINTEXT', 'LOGIN', 'ENCRYPTED'];
  const address = (listener: ListenerName): string => `${listener}://127.0.0.1:${plan.port(id, listener)}`;
  const copies = String(plan.count);
  const voters = Array.from({ length: plan.count }, (_, index) => `${index + 1}@127.0.0.1:${plan.port(index + 1, 'CONTROLLER')}`);
  return {
    'process.roles': 'broker,controller',
    'node.id': String(id),
    'controller.quorum.voters': voters.join(','),
    listeners: [...listeners, 'CONTROLLER' as const].map(address).join(','),
    'advertised.listeners': listeners.map(address).join(','),
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,LOGIN:SASL_PLAINTEXT,ENCRYPTED:SASL_SSL',
    'log.dirs': join(nodeFolder(plan, id), 'data'),
    'offsets.topic.replication.factor': copies,
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': copies,
    'transaction.state.log.min.isr': '1',
    'group.initial.rebalance.delay.ms': '0',
    'auto.create.topics.enable': 'false',
    'controlled.shutdown.max.retries': '1',
    // So that a killed leader is replaced within seconds: the defaults are 9 and 30 seconds.
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '500',
    'replica.lag.time.max.ms': '5000',
    ...(login === undefined ? {} : loginSettings(login, plan)),
    ...plan.options.settings,
  };
}

function loginSettings(login: NonNullable<KafkaOptions['login']>, plan: Plan): Record<string, string> {
  const module = 'org.apache.kafka.common.security';
  const perListener = ['login', 'encrypted'].flatMap((listener) => [
    [`listener.name.${listener}.plain.sasl.jaas.config`,
      `${module}.plain.PlainLoginModule required user_${login.username}="${login.password}";`],
    ...['scram-sha-256', 'scram-sha-512'].map((mechanism) =>
      [`listener.name.${listener}.${mechanism}.sasl.jaas.config`, `${module}.scram.ScramLoginModule required;`]),
  ]);
  return {
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
    'listener.name.encrypted.ssl.keystore.type': 'PEM',
    'listener.name.encrypted.ssl.keystore.location': join(plan.folder, 'keystore.pem'),
    ...Object.fromEntries(perListener),
  };
}

/** A key and a certificate for 127.0.0.1, signed by itself. Returns the certificate. */
async function makeCertificate(folder: string): Promise<string> {
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  await run(await program('openssl', 'openssl'), ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1',
    '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', certificate]);
  await run('sh', ['-c', 'cat "$1" "$2" > "$3"', 'sh', key, certificate, join(folder, 'keystore.pem')]);
  return run('cat', [certificate]);
}

function launch(plan: Plan, id: number): Promise<RunningProcess> {
  return startProcess({
    command: plan.java,
    args: [`-Xmx${plan.heapMiB}m`, '-XX:+UseSerialGC', '-cp', plan.classPath, '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
      'kafka.Kafka', properties(plan, id)],
    folder: nodeFolder(plan, id),
    root: plan.folder,
  });
}

// Listening is not ready: a broker is fenced until the controller has heard of it, and then is missing in the metadata.
async function untilMember(plan: Plan, id: number, brokers: string, process: RunningProcess): Promise<void> {
  await waitUntilReady('kafka', { folder: nodeFolder(plan, id), process, timeoutMs: 240_000 }, async () => {
    const admin = new Admin({ clientId: 'ready', bootstrapBrokers: [`127.0.0.1:${plan.port(id, 'PLAINTEXT')}`], retries: 0, connectTimeout: 500 });
    try {
      const { brokers: members } = await admin.metadata({ topics: [], forceUpdate: true });
      const ports = new Set([...members.values()].map(({ port }) => String(port)));
      return brokers.split(',').every((broker) => ports.has(broker.split(':')[1] ?? '')) ? true : undefined;
    } finally {
      await admin.close();
    }
  });
}

/** The folder with the jars. */
async function kafkaLibrary(): Promise<string> {
  const folder = await cachedFolder(`kafka-${kafkaVersion}-with-tools`, async (half) => {
    const dependency = (group: string, artifact: string, version: string): string =>
      `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;
    await writeFile(join(half, 'pom.xml'), `<project><modelVersion>4.0.0</modelVersion><groupId>watershed</groupId>
      <artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging><dependencies>
      ${dependency('org.apache.kafka', 'kafka_2.13', kafkaVersion)}${dependency('org.apache.kafka', 'kafka-tools', kafkaVersion)}${dependency('org.slf4j', 'slf4j-simple', '1.7.36')}
      </dependencies></project>`);
    await run(await program('mvn', 'maven'),
      ['-q', '-B', 'dependency:copy-dependencies', '-DoutputDirectory=lib', '-DincludeScope=runtime'], { cwd: half });
  });
  return join(folder, 'lib');
}
