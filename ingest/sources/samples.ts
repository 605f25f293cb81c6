import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import Type from 'typebox';
import Value from 'typebox/value';
import { messageOf, WatershedError } from '#core/errors.ts';
import { crisisLexColumns, crisisLexRow, type CrisisLexRow } from '../archive/crisislex.ts';
import { csvReader } from '../archive/csv.ts';

const SampleEventFile = Type.Array(Type.Object({
  id: Type.String(),
  name: Type.String(),
  description: Type.String(),
  keywords: Type.Array(Type.String()),
  start: Type.String(),
  end: Type.String(),
  file: Type.String(),
}));

/** One event that the repository ships with its posts. */
export interface SampleEvent {
  /** The id of the event these posts belong to: the slug that its name gives. */
  readonly id: string;
  readonly name: string;
  readonly description: string;
  /** Terms of the rule (`any`). */
  readonly keywords: readonly string[];
  readonly start: string;
  readonly end: string;
  /** Path of the CrisisLex CSV. */
  readonly file: string;
}

/** Reads `events.json` of a folder of samples; throws `corrupt` where it is not what this version wrote. */
export async function readSampleEvents(folder: string): Promise<SampleEvent[]> {
  const path = join(folder, 'events.json');
  try {
    const parsed: unknown = JSON.parse(await readFile(path, 'utf8'));
    return Value.Parse(SampleEventFile, parsed).map((event) => ({ ...event, file: join(folder, event.file) }));
  } catch (cause) {
    throw broken(path, messageOf(cause), cause);
  }
}

/** All posts of a sample in order of creation time (then id); throws `corrupt` for a file that holds anything else. */
export async function readSamplePosts(event: SampleEvent): Promise<CrisisLexRow[]> {
  const bytes = await readFile(event.file).catch((cause: unknown) => {
    throw broken(event.file, messageOf(cause), cause);
  });
  const reader = csvReader();
  const [header, ...records] = [...reader.push(bytes), ...reader.end()];
  const columns = crisisLexColumns(header?.fields ?? []);
  if (columns === undefined) throw broken(event.file, 'its first line is no header of CrisisLex');
  const rows = records.map((record, index) => {
    const row = record.fields === undefined ? { reason: record.reason ?? '' } : crisisLexRow(columns, record.fields);
    if ('reason' in row) throw broken(event.file, `record ${index + 2}: ${row.reason}`);
    return row;
  });
  return rows.toSorted((a, b) => a.createdAtMs - b.createdAtMs || a.id.localeCompare(b.id));
}

function broken(path: string, why: string, cause?: unknown): WatershedError {
  return new WatershedError('corrupt', `the sample ${path} cannot be read: ${why}`, {
    cause,
    hint: 'the samples are part of the package: install it again, or set WATERSHED_SAMPLE=off',
  });
}
