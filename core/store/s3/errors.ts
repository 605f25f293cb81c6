import { WatershedError, isWatershedError, messageOf, systemCode } from '../../errors.ts';
import type { ErrorCode } from '../../errors.ts';

/** Where the store is, for messages. */
export interface Place {
  readonly bucket: string;
  readonly region: string;
  readonly endpoint: string | undefined;
}

type Meaning = readonly [code: ErrorCode, message: (place: Place) => string, hint: string];

const badKeys: Meaning = [
  'unauthorized',
  ({ bucket }) => `the keys for bucket ${bucket} are not accepted`,
  'check WAREHOUSE_S3_ACCESS_KEY and WAREHOUSE_S3_SECRET_KEY, or what the AWS chain finds',
];
const noAccess: Meaning = [
  'forbidden',
  ({ bucket }) => `our keys may not do this in bucket ${bucket}`,
  'allow s3:ListBucket on the bucket and s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on its objects',
];
const otherRegion: Meaning = [
  'bad_config',
  ({ bucket, region }) => `bucket ${bucket} is not in region ${region}`,
  'set WAREHOUSE_S3_REGION to the region of the bucket',
];
const clockWrong: Meaning = [
  'bad_config',
  () => 'the clock of this machine is wrong by more than the store allows',
  'set the clock',
];
const full: Meaning = ['disk', ({ bucket }) => `bucket ${bucket} takes no more`, 'make room or raise the quota'];

const meanings: Readonly<Record<string, Meaning>> = {
  NoSuchBucket: ['bad_config', ({ bucket }) => `there is no bucket ${bucket}`, 'make it, or correct WAREHOUSE_URI'],
  InvalidBucketName: [
    'bad_config',
    ({ bucket }) => `${bucket} cannot be the name of a bucket`,
    'correct WAREHOUSE_URI: s3://bucket/prefix',
  ],
  InvalidAccessKeyId: badKeys,
  SignatureDoesNotMatch: badKeys,
  InvalidToken: badKeys,
  ExpiredToken: badKeys,
  XAdminUserNotFound: badKeys, // versitygw
  CredentialsProviderError: [
    'bad_config',
    () => 'there are no keys for the object store',
    'set WAREHOUSE_S3_ACCESS_KEY and WAREHOUSE_S3_SECRET_KEY, or give credentials in one of the ways of AWS (environment, profile, role)',
  ],
  AccessDenied: noAccess,
  Forbidden: noAccess,
  AllAccessDisabled: noAccess,
  PermanentRedirect: otherRegion,
  AuthorizationHeaderMalformed: otherRegion,
  IllegalLocationConstraintException: otherRegion,
  RequestTimeTooSkewed: clockWrong,
  QuotaExceeded: full,
  EntityTooLarge: full,
  InsufficientStorage: full,
  XMinioStorageFull: full,
};

/** Names of errors under which the store may well answer the next time. */
const passing =
  /^(Internal|ServiceUnavailable|SlowDown|RequestTimeout|TimeoutError|OperationAborted|Throttling|TooManyReq)/;

/** What an error of the S3 client means, for a person. Errors of ours and of our own disk pass as they are. */
export function explain(error: unknown, place: Place, doing: string): unknown {
  if (isWatershedError(error) || isDiskError(error)) return error;
  const name = nameOf(error);
  const status = statusOf(error);
  const meaning = meanings[name] ?? (status === 301 ? otherRegion : status === 403 ? noAccess : undefined);
  const context = { bucket: place.bucket, ...(status === undefined ? {} : { status }) };
  if (meaning !== undefined) {
    const [code, message, hint] = meaning;
    return new WatershedError(code, `cannot ${doing}: ${message(place)}`, { cause: error, hint, context });
  }
  const address = place.endpoint ?? `the S3 of region ${place.region}`;
  const network = systemCode(error);
  if (passing.test(name) || network !== undefined || status === undefined || status >= 500 || status === 429) {
    return new WatershedError(
      'unavailable',
      `cannot ${doing}: ${address} does not answer as it should (${network ?? name}: ${messageOf(error)})`,
      {
        cause: error,
        hint: 'check WAREHOUSE_S3_ENDPOINT and that the store is up',
        context,
      },
    );
  }
  return new WatershedError('internal', `cannot ${doing}: ${address} answered ${name} (${messageOf(error)})`, {
    cause: error,
    context,
  });
}

/** True where our own disk failed and not the store. */
export function isDiskError(error: unknown): boolean {
  return /^(ENOSPC|EDQUOT|EROFS|EACCES|EPERM|EIO|EMFILE|ENFILE|ENOENT)$/.test(systemCode(error) ?? '');
}

export function nameOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '';
  // A response without a body, as to HEAD, has no code: the client then calls it Unknown or UnknownError.
  const code = 'Code' in error && typeof error.Code === 'string' ? error.Code : undefined;
  return code ?? ('name' in error && typeof error.name === 'string' ? error.name : '');
}

export function statusOf(error: unknown): number | undefined {
  return numberIn(error, 'httpStatusCode');
}

/** How often the client has asked before it gave up. */
export function attemptsOf(error: unknown): number {
  return numberIn(error, 'attempts') ?? 1;
}

function numberIn(error: unknown, field: string): number | undefined {
  if (typeof error !== 'object' || error === null || !('$metadata' in error)) return undefined;
  const metadata: unknown = error.$metadata;
  if (typeof metadata !== 'object' || metadata === null) return undefined;
  const found: unknown = Object.entries(metadata).find(([key]) => key === field)?.[1];
  return typeof found === 'number' ? found : undefined;
}

/** True for "no such object", whichever way it is said. */
export function isMissing(error: unknown): boolean {
  return (
    nameOf(error) === 'NoSuchKey' ||
    nameOf(error) === 'NotFound' ||
    (statusOf(error) === 404 && nameOf(error) !== 'NoSuchBucket')
  );
}
