/** Gives out memory for small pieces that live about as long as each other. */
export type Slab = (bytes: number) => Buffer;

/**
 * A slab of pieces cut from blocks of `blockBytes`: a million small buffers of their own would cost the garbage
 * collector more than what is written into them. A block is freed once none of its pieces is held; what is larger than
 * a quarter of a block has memory of its own. The memory is not cleared.
 */
export function createSlab(blockBytes = 1024 * 1024): Slab {
  let block = Buffer.alloc(0);
  let used = 0;
  return (bytes) => {
    if (bytes > blockBytes >> 2) return Buffer.allocUnsafeSlow(bytes);
    if (used + bytes > block.length) {
      block = Buffer.allocUnsafeSlow(blockBytes);
      used = 0;
    }
    used += bytes;
    return block.subarray(used - bytes, used);
  };
}
