import type { PostFormat } from '#core/contract/envelope.ts';
import { bluesky } from './bluesky.ts';
import { crisislex } from './crisislex.ts';
import type { Projection } from './projection.ts';
import { xV1 } from './x-v1.ts';
import { xV2 } from './x-v2.ts';

/** The projection of each format of post. */
export const projections: Readonly<Record<PostFormat, Projection>> = {
  crisislex,
  'x.v2': xV2,
  'x.v1': xV1,
  bluesky,
};
