// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';
import { detectKernel } from '../boot/kernel.ts';
import type { BootRequest } from '../boot/plan.ts';

/** What Linux unpacks as an initial ramdisk, by first bytes. See: Linux, Documentation/driver-api/early-userspace/buffer-format.rst. */
// prettier-ignore
const COMPRESSED: readonly string[] = [
  '1f8b',         // gzip
  'fd377a585a00', // xz
  '28b52ffd',     // zstd
  '04224d18',     // lz4
  '02214c18',     // lz4, legacy
  '425a68',       // bzip2
  '5d0000',       // lzma
  '894c5a4f',     // lzo
];
const ARCHIVE = /^07070[12]/;
const HEADER = 110;
const SIZE_AT = 54;
const NAME_SIZE_AT = 94;
const TRAILER = 'TRAILER!!!';

/** Refuses a Linux guest's ramdisk that Linux could not unpack either. Throws UserError. */
export function checkInitrd({ kernel, kernelName, modules }: BootRequest): void {
  const initrd = modules[0];
  if (initrd === undefined || detectKernel(kernel, kernelName) !== 'linux') return;
  const start = Array.from(initrd.bytes.subarray(0, 8), (byte) => byte.toString(16).padStart(2, '0')).join('');
  if (COMPRESSED.some((magic) => start.startsWith(magic))) return;
  if (!ARCHIVE.test(textOf(initrd.bytes, 0, 6))) {
    throw new UserError(
      `${initrd.name} is no initial ramdisk: neither a cpio archive (newc) nor compressed`,
      'give one with --initrd, such as the initrd.img of /boot',
    );
  }
  if (!isWholeArchive(initrd.bytes)) {
    throw new UserError(
      `${initrd.name} is truncated or damaged: its cpio archive has no end`,
      'copy or build it again',
    );
  }
}

/** Goes from header to header to the trailer. */
function isWholeArchive(bytes: Uint8Array): boolean {
  for (let at = 0; at + HEADER <= bytes.length;) {
    if (!ARCHIVE.test(textOf(bytes, at, 6))) return false;
    const field = (offset: number) => Number.parseInt(textOf(bytes, at + offset, 8), 16);
    const [size, nameSize] = [field(SIZE_AT), field(NAME_SIZE_AT)];
    if (textOf(bytes, at + HEADER, TRAILER.length) === TRAILER) return true;
    at = aligned(aligned(at + HEADER + nameSize) + size);
  }
  return false;
}

const aligned = (offset: number): number => Math.ceil(offset / 4) * 4;
const textOf = (bytes: Uint8Array, at: number, length: number): string =>
  String.fromCharCode(...bytes.subarray(at, at + length));
