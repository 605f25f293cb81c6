import { Admin } from '@platformatic/kafka';
import { systemClock } from '../../clock.ts';
import { logSuite } from '../log.suite.ts';
import { startKafka } from '#test/services/kafka.ts';
import { createKafkaLog } from './kafka.ts';

logSuite('a Kafka broker', async () => {
  const kafka = await startKafka();
  const open = () => createKafkaLog({ brokers: kafka.brokers, replication: 1, clock: systemClock });
  const log = open();
  return {
    log,
    another: async () => open(),
    async remake(topic, partitions) {
      const admin = new Admin({ clientId: 'remake', bootstrapBrokers: [kafka.brokers] });
      await admin.deleteTopics({ topics: [topic] });
      await admin.close();
      await using fresh = open();
      await fresh.ensureTopic(topic, partitions);
    },
    async dispose() {
      await log[Symbol.asyncDispose]();
      await kafka.stop();
    },
  };
});
