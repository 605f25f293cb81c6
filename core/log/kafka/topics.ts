import { WatershedError } from '../../errors.ts';
import { recordBytesMax } from '../log.ts';
import type { Cluster } from './cluster.ts';
import { createTopic, topicSettings } from './protocol.ts';
import { kafkaCodeOf, kafkaCodes } from './refusal.ts';

/** Largest batch: the largest record and some room for the batch around it. */
const batchBytesMax = recordBytesMax + 1024 * 1024;
const dayMs = 24 * 60 * 60 * 1000;

/**
 * The settings of the topics that we make. What is trimmed is for `trim` to say, which knows what every landing has
 * read; so time deletes nothing. With fewer than three copies an append is on the disk before it is acknowledged,
 * because then there may be no other copy to survive the machine.
 */
function settingsOf(replication: number): Record<string, string> {
  return {
    'cleanup.policy': 'delete',
    'retention.ms': '-1',
    'retention.bytes': '-1',
    'max.message.bytes': String(batchBytesMax),
    'message.timestamp.type': 'LogAppendTime',
    'unclean.leader.election.enable': 'false',
    'min.insync.replicas': replication >= 3 ? '2' : '1',
    ...(replication >= 3 ? {} : { 'flush.messages': '1' }),
  };
}

interface Requirement {
  readonly name: string;
  readonly fits: (value: string, replication: number) => boolean;
  readonly why: string;
  /** What to set it to. */
  readonly wanted: string;
}

/** What an existing topic must have, because records would be lost or refused otherwise. */
const requirements: readonly Requirement[] = [
  {
    name: 'cleanup.policy',
    fits: (value) => value === 'delete',
    wanted: 'delete',
    why: 'compaction deletes records that were not read',
  },
  {
    name: 'max.message.bytes',
    fits: (value) => Number(value) >= batchBytesMax,
    wanted: String(batchBytesMax),
    why: 'the largest record would be refused',
  },
  {
    name: 'min.insync.replicas',
    fits: (value, replication) => replication < 3 || Number(value) >= 2,
    wanted: '2',
    why: 'one broker that dies could lose what was acknowledged',
  },
  {
    name: 'unclean.leader.election.enable',
    fits: (value) => value !== 'true',
    wanted: 'false',
    why: 'a replica that lags could become leader and lose what was acknowledged',
  },
  {
    name: 'retention.ms',
    fits: (value) => Number(value) === -1 || Number(value) >= dayMs,
    wanted: '-1',
    why: 'records would be deleted within a day, read or not',
  },
];

/**
 * Creates the topic with the settings it needs; one that exists with others is refused with the command that mends it
 * (`bad_config`), one with fewer partitions too.
 */
export async function ensureTopic(
  cluster: Cluster,
  topic: string,
  wanted: { readonly partitions: number; readonly replication: number; readonly brokers: string },
): Promise<void> {
  const { partitions, replication, brokers } = wanted;
  try {
    await cluster.onAny((connection) =>
      createTopic(connection, topic, partitions, replication, settingsOf(replication)),
    );
  } catch (error) {
    if (kafkaCodeOf(error) === kafkaCodes.invalidReplicationFactor) throw tooFewBrokers(topic, replication, error);
    if (kafkaCodeOf(error) !== kafkaCodes.topicAlreadyExists) throw error;
  }
  // A topic just made is not known to every broker at once: `onLeader` waits until it is, and until it has leaders.
  const found = await cluster.ready(topic);
  if (found.leaders.length < partitions) {
    throw new WatershedError('bad_config', `topic ${topic} has ${found.leaders.length} partitions, not ${partitions}`, {
      hint: `kafka-topics.sh --bootstrap-server ${brokers} --alter --topic ${topic} --partitions ${partitions}`,
    });
  }
  const settings = await cluster.onAny((connection) =>
    topicSettings(
      connection,
      topic,
      requirements.map(({ name }) => name),
    ),
  );
  const wrong = requirements.filter(({ name, fits }) => !fits(settings.get(name) ?? '', found.replication));
  if (wrong.length === 0) return;
  const said = wrong.map(({ name, why }) => `${name}=${settings.get(name) ?? ''} (${why})`).join(', ');
  throw new WatershedError('bad_config', `topic ${topic} has settings we cannot live with: ${said}`, {
    hint:
      `kafka-configs.sh --bootstrap-server ${brokers} --alter --entity-type topics --entity-name ${topic} ` +
      `--add-config ${wrong.map(({ name, wanted: value }) => `${name}=${value}`).join(',')}`,
  });
}

function tooFewBrokers(topic: string, replication: number, cause: unknown): WatershedError {
  return new WatershedError(
    'bad_config',
    `topic ${topic} cannot have ${replication} copies: the cluster has fewer brokers`,
    {
      cause,
      hint: 'set KAFKA_REPLICATION to at most the number of brokers, or start more of them',
    },
  );
}
