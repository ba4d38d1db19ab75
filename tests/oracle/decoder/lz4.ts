// SPDX-License-Identifier: Apache-2.0

/** See: Linux lib/decompress_unlz4.c: the legacy frame, as kernels are compressed with. */
export const LZ4_LEGACY_MAGIC = 0x184c2102;

const BLOCK = 8 << 20;

/** What a kernel's payload holds; `payload` ends with the size of the whole, 4 bytes. Throws when it is no such payload. */
export function unpackLz4Legacy(payload: Uint8Array): Uint8Array {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  if (view.getUint32(0, true) !== LZ4_LEGACY_MAGIC) throw new Error('no LZ4 legacy frame');
  const out = new Uint8Array(view.getUint32(payload.length - 4, true));
  let to = 0;
  for (let from = 4; from < payload.length - 4;) {
    const size = view.getUint32(from, true);
    to = unpackBlock(payload.subarray(from + 4, from + 4 + size), out, to);
    from += 4 + size;
  }
  if (to !== out.length) throw new Error(`LZ4 frame of ${to} bytes, not ${out.length}`);
  return out;
}

/** See: LZ4 Block Format Description. Gives where `out` ends. */
function unpackBlock(block: Uint8Array, out: Uint8Array, start: number): number {
  let from = 0;
  let to = start;
  const extended = (nibble: number): number => {
    let length = nibble;
    if (nibble === 15) {
      let byte;
      do length += byte = block[from++];
      while (byte === 255);
    }
    return length;
  };
  while (from < block.length && to - start < BLOCK) {
    const token = block[from++];
    const literals = extended(token >> 4);
    out.set(block.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    if (from >= block.length) break;
    const distance = block[from] | (block[from + 1] << 8);
    from += 2;
    for (let left = extended(token & 15) + 4; left > 0; left--, to++) out[to] = out[to - distance];
  }
  return to;
}
