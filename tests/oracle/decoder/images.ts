// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from 'node:fs';
import { parseBzImage } from '../../../src/formats/bzimage.ts';
import { parseElf } from '../../../src/formats/elf.ts';
import { LZ4_LEGACY_MAGIC, unpackLz4Legacy } from './lz4.ts';

/** Real code: every executable section of a file, as its section headers say. See: System V ABI, chapter 4, Sections. */

const SHT_PROGBITS = 1;
const SHF_EXECINSTR = 4;
const LIBC = '/lib/x86_64-linux-gnu/libc.so.6';

export function executableSections(file: Uint8Array, name: string): Uint8Array[] {
  const { offset, count, entrySize } = parseElf(file, name).sectionHeaders;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const sections: Uint8Array[] = [];
  for (let at = offset; at < offset + count * entrySize; at += entrySize) {
    const isCode =
      view.getUint32(at + 4, true) === SHT_PROGBITS && (view.getUint32(at + 8, true) & SHF_EXECINSTR) !== 0;
    const start = Number(view.getBigUint64(at + 24, true));
    if (isCode) sections.push(file.subarray(start, start + Number(view.getBigUint64(at + 32, true))));
  }
  return sections;
}

/** Why this machine's C library cannot be read, or undefined. */
export function whyNoLibc(): string | undefined {
  return existsSync(LIBC) ? undefined : `there is no ${LIBC}`;
}

export function libcSections(): Uint8Array[] {
  return executableSections(new Uint8Array(readFileSync(LIBC)), LIBC);
}

/** The vmlinux inside a bzImage. `decompressXz` is asked when the payload is no LZ4. */
export async function vmlinuxSections(
  bzImage: Uint8Array,
  decompressXz: (payload: Uint8Array) => Promise<Uint8Array>,
): Promise<Uint8Array[]> {
  const { header, protectedModeCode } = parseBzImage(bzImage, 'the kernel');
  const { payload_offset: at, payload_length: length } = header;
  const payload = protectedModeCode.subarray(at, at + length);
  const magic = new DataView(payload.buffer, payload.byteOffset, 4).getUint32(0, true);
  const vmlinux =
    magic === LZ4_LEGACY_MAGIC ? unpackLz4Legacy(payload) : await decompressXz(payload.subarray(0, length - 4));
  return executableSections(vmlinux, 'the vmlinux');
}
