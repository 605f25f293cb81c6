import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import { problemOf } from './problems.ts';
import type { StatementInfo } from './statements.ts';

/** Results are kept this long. */
export const keptMs = 3_600_000;

/** Where the rows of a statement lie; what is known of it lies beside them. */
export function rowsPath(folder: string, id: string): string {
  return join(folder, id);
}

function infoPath(folder: string, id: string): string {
  return join(folder, `${id}.json`);
}

/** Writes down what is known of a statement, so that a restart does not forget it. */
export async function keepInfo(folder: string, info: StatementInfo): Promise<void> {
  const path = infoPath(folder, info.id);
  await writeFile(`${path}.new`, JSON.stringify(info), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

export async function removeFiles(folder: string, id: string): Promise<void> {
  await rm(rowsPath(folder, id), { force: true });
  await rm(infoPath(folder, id), { force: true });
}

/** What a statement is told that ran when the server ended. */
export function interruptedInfo(info: StatementInfo, nowMs: number): StatementInfo {
  const error = new WatershedError('unavailable', 'the server was restarted while the statement ran', {
    hint: 'Start it again: nothing of it was changed or kept.',
    context: { sqlstate: '57P01' },
  });
  const { percent: _percent, ...rest } = info;
  return { ...rest, status: 'failed', error: problemOf(error), expiresAt: new Date(nowMs + keptMs).toISOString() };
}

/**
 * The statements of the server that was here before: what was done stays done until it expires, what ran has failed.
 * Everything else in the folder is removed.
 */
export async function restoreStatements(folder: string, nowMs: number, logger: Logger): Promise<StatementInfo[]> {
  const names = await readdir(folder);
  const kept: StatementInfo[] = [];
  for (const name of names.filter((each) => each.endsWith('.json'))) {
    const info = await readInfo(join(folder, name), logger);
    if (info === undefined || `${info.id}.json` !== name) continue;
    if (info.status === 'running') {
      const ended = interruptedInfo(info, nowMs);
      await rm(rowsPath(folder, info.id), { force: true });
      await keepInfo(folder, ended);
      kept.push(ended);
    } else if (info.expiresAt !== undefined && Date.parse(info.expiresAt) > nowMs) kept.push(info);
  }
  const wanted = new Set(kept.flatMap(({ id }) => [id, `${id}.json`]));
  for (const name of names) if (!wanted.has(name)) await rm(join(folder, name), { recursive: true, force: true });
  return kept;
}

async function readInfo(path: string, logger: Logger): Promise<StatementInfo | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (typeof value === 'object' && value !== null && 'id' in value && 'user' in value && 'status' in value)
      return value as StatementInfo; // written by keepInfo
  } catch (error) {
    logger.warn('statement_not_restored', { path, error }); // a file that was cut short: it is removed
  }
  return undefined;
}
