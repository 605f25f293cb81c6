import { describeClassifier } from './classifier.suite.ts';
import { createMemoryClassifier } from './memory.ts';

describeClassifier('memory', async () => createMemoryClassifier(['water', 'flood']));
