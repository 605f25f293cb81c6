import { protocolErrorsCodesById } from '@platformatic/kafka';
import { isWatershedError, WatershedError } from '../../errors.ts';
import type { ErrorCode } from '../../errors.ts';

/** Error codes of the protocol that we act on (https://kafka.apache.org/protocol#protocol_error_codes). */
export const kafkaCodes = {
  offsetOutOfRange: 1,
  unknownTopicOrPartition: 3,
  topicAlreadyExists: 36,
  invalidReplicationFactor: 38,
  outOfOrderSequence: 45,
  duplicateSequence: 46,
  invalidProducerEpoch: 47,
  unknownProducerId: 59,
  unknownTopicId: 100,
} as const;

// Those that pass by themselves: a leader that moves, a broker that starts, replicas that are missing for a while.
const transientCodes: ReadonlySet<number> = new Set([
  2, 3, 5, 6, 7, 8, 9, 13, 14, 15, 16, 19, 20, 41, 56, 72, 74, 75, 76, 78, 89, 100, 103,
]);
const forbiddenCodes: ReadonlySet<number> = new Set([29, 30, 31, 53, 65]);
const tooLargeCodes: ReadonlySet<number> = new Set([10, 18]);

/** What a broker's refusal means for us; the protocol's code stands in `context.kafkaCode`. */
export function refusal(kafkaCode: number, doing: string, detail: string | null = null): WatershedError {
  const name =
    Object.entries(protocolErrorsCodesById).find(([code]) => Number(code) === kafkaCode)?.[1] ?? `error ${kafkaCode}`;
  const [code, hint] = meaning(kafkaCode);
  const more = detail === null || detail === '' ? '' : `: ${detail}`;
  return new WatershedError(code, `Kafka refused ${doing} (${name}${more})`, {
    context: { kafkaCode },
    ...(hint === undefined ? {} : { hint }),
  });
}

function meaning(code: number): [ErrorCode, string?] {
  if (transientCodes.has(code)) return ['unavailable'];
  if (forbiddenCodes.has(code)) {
    return [
      'forbidden',
      'grant our Kafka user READ, WRITE, CREATE, DELETE, DESCRIBE and DESCRIBE_CONFIGS on the topics, with kafka-acls.sh',
    ];
  }
  if (tooLargeCodes.has(code)) return ['bad_config', 'raise max.message.bytes of the topic, with kafka-configs.sh'];
  if (code === 35) return ['unsupported', 'Kafka 3.1 or newer is needed'];
  return ['internal'];
}

/** The protocol's code of a refusal, or undefined for any other error. */
export function kafkaCodeOf(error: unknown): number | undefined {
  const code = isWatershedError(error) ? error.context['kafkaCode'] : undefined;
  return typeof code === 'number' ? code : undefined;
}
