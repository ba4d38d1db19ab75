// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, zstdDecompress } from 'node:zlib';
import xz from 'xz-decompress';

type Format = 'gzip' | 'zstd' | 'xz';

const DECOMPRESS: Readonly<Record<Format, (bytes: Uint8Array) => Promise<Uint8Array>>> = {
  gzip: promisify(gunzip),
  zstd: promisify(zstdDecompress),
  xz: unxz,
};

/** Checksums, text and decompression with what Node has; xz by a small WebAssembly module. */
export class Codecs {
  sha256(bytes: Uint8Array): string {
    return createHash('sha256').update(bytes).digest('hex');
  }

  async decompress(format: Format, bytes: Uint8Array): Promise<Uint8Array> {
    return DECOMPRESS[format](bytes);
  }

  utf8(text: string): Uint8Array {
    return Buffer.from(text);
  }

  text(utf8: Uint8Array): string {
    return Buffer.from(utf8).toString();
  }
}

async function unxz(bytes: Uint8Array): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const compressed = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
  for await (const part of new xz.XzReadableStream(compressed)) parts.push(part);
  return Buffer.concat(parts);
}
