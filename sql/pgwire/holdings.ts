import { WatershedError } from '#core/errors.ts';

// What one connection may make us keep: drivers hold some hundred statements at most, of some kilobytes each.
const bytesMax = 64 * 1024 * 1024;
const countMax = 20_000;

/** What a session keeps for its client (prepared statements, bound values), so that no client can fill our memory. */
export class Holdings {
  private readonly sizes = new Map<string, number>();
  private bytes = 0;

  /** Throws `limit_exceeded` (53400) where it would be too much; what had that name before is replaced. */
  keep(name: string, bytes: number): void {
    this.release(name);
    if (this.bytes + bytes > bytesMax || this.sizes.size >= countMax) {
      throw new WatershedError('limit_exceeded', 'this connection keeps too many prepared statements or values', {
        hint: 'close statements and portals that are not needed any more, or DISCARD ALL',
        context: { sqlstate: '53400' },
      });
    }
    this.sizes.set(name, bytes);
    this.bytes += bytes;
  }

  release(name: string): void {
    this.bytes -= this.sizes.get(name) ?? 0;
    this.sizes.delete(name);
  }
}
