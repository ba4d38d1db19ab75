// SPDX-License-Identifier: Apache-2.0
// See: Linux Documentation/arch/x86/boot.rst, The Real-Mode Kernel Header (boot protocol up to 2.15).

import { UserError } from '../base/errors.ts';
import { readText } from './ascii.ts';

/** "HdrS", little-endian. */
export const SETUP_HEADER_MAGIC = 0x53726448;
/** The setup header starts here in the file, and at the same offset in boot_params. */
export const SETUP_HEADER_START = 0x1f1;
const MAGIC_AT = 0x202;

/** loadflags */
export const LOADED_HIGH = 1 << 0;
export const CAN_USE_HEAP = 1 << 7;
/** xloadflags */
export const XLF_KERNEL_64 = 1 << 0;
export const XLF_CAN_BE_LOADED_ABOVE_4G = 1 << 1;

/** The setup header's fields: name, offset in the file, width in bytes, first protocol version that has it. */
// prettier-ignore
export const SETUP_HEADER_FIELDS = [
  ['setup_sects',           0x1f1, 1, 0x0000],
  ['root_flags',            0x1f2, 2, 0x0000],
  ['syssize',               0x1f4, 4, 0x0000],
  ['ram_size',              0x1f8, 2, 0x0000],
  ['vid_mode',              0x1fa, 2, 0x0000],
  ['root_dev',              0x1fc, 2, 0x0000],
  ['boot_flag',             0x1fe, 2, 0x0000],
  ['jump',                  0x200, 2, 0x0200],
  ['header',                0x202, 4, 0x0200],
  ['version',               0x206, 2, 0x0200],
  ['realmode_swtch',        0x208, 4, 0x0200],
  ['start_sys_seg',         0x20c, 2, 0x0200],
  ['kernel_version',        0x20e, 2, 0x0200],
  ['type_of_loader',        0x210, 1, 0x0200],
  ['loadflags',             0x211, 1, 0x0200],
  ['setup_move_size',       0x212, 2, 0x0200],
  ['code32_start',          0x214, 4, 0x0200],
  ['ramdisk_image',         0x218, 4, 0x0200],
  ['ramdisk_size',          0x21c, 4, 0x0200],
  ['bootsect_kludge',       0x220, 4, 0x0200],
  ['heap_end_ptr',          0x224, 2, 0x0201],
  ['ext_loader_ver',        0x226, 1, 0x0202],
  ['ext_loader_type',       0x227, 1, 0x0202],
  ['cmd_line_ptr',          0x228, 4, 0x0202],
  ['initrd_addr_max',       0x22c, 4, 0x0203],
  ['kernel_alignment',      0x230, 4, 0x0205],
  ['relocatable_kernel',    0x234, 1, 0x0205],
  ['min_alignment',         0x235, 1, 0x020a],
  ['xloadflags',            0x236, 2, 0x020c],
  ['cmdline_size',          0x238, 4, 0x0206],
  ['hardware_subarch',      0x23c, 4, 0x0207],
  ['hardware_subarch_data', 0x240, 8, 0x0207],
  ['payload_offset',        0x248, 4, 0x0208],
  ['payload_length',        0x24c, 4, 0x0208],
  ['setup_data',            0x250, 8, 0x0209],
  ['pref_address',          0x258, 8, 0x020a],
  ['init_size',             0x260, 4, 0x020a],
  ['handover_offset',       0x264, 4, 0x020b],
  ['kernel_info_offset',    0x268, 4, 0x020f],
] as const;

export type SetupHeaderField = (typeof SETUP_HEADER_FIELDS)[number][0];
/** A field that the image's protocol version does not have reads 0. */
export type SetupHeader = { readonly [Field in SetupHeaderField]: number };

export interface BzImage {
  readonly header: SetupHeader;
  /** The setup header's bytes as in the file, to be copied to boot_params at SETUP_HEADER_START. */
  readonly headerBytes: Uint8Array;
  /** The part that runs in protected or long mode, loaded at code32_start. */
  readonly protectedModeCode: Uint8Array;
  /** The text that `file` prints, such as "6.1.0-56-cloud-amd64 (…) #1 SMP …"; empty if the image has none. */
  readonly versionText: string;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export function isBzImage(bytes: Uint8Array): boolean {
  return bytes.length >= MAGIC_AT + 4 && viewOf(bytes).getUint32(MAGIC_AT, true) === SETUP_HEADER_MAGIC;
}

/** `name` is the file's name, for messages. Throws UserError for what is not a whole bzImage. */
export function parseBzImage(bytes: Uint8Array, name: string): BzImage {
  if (!isBzImage(bytes))
    throw new UserError(
      `${name} is not a bzImage: "HdrS" is missing at byte 0x202`,
      'give a Linux kernel image (vmlinuz)',
    );
  if (bytes.length < 0x26c) throw truncated(bytes, 0x26c, name, 'the setup header');
  const header = readHeader(bytes);
  // See: boot.rst, setup_sects: "for backwards compatibility, if the field contains 0 the real value is 4".
  const setupBytes = ((header.setup_sects || 4) + 1) * 512;
  const end = setupBytes + header.syssize * 16;
  // syssize is rounded up to paragraphs; the file may end up to 15 bytes before it.
  if (header.version >= 0x0204 && end > bytes.length + 15) throw truncated(bytes, end, name, 'the kernel');
  if (setupBytes >= bytes.length) throw truncated(bytes, setupBytes + 1, name, 'the real-mode code');
  return {
    header,
    headerBytes: bytes.slice(SETUP_HEADER_START, Math.min(MAGIC_AT + bytes[0x201]!, 0x290)),
    protectedModeCode: bytes.subarray(setupBytes, header.version >= 0x0204 ? end : bytes.length),
    versionText: header.kernel_version === 0 ? '' : readText(bytes, header.kernel_version + 0x200, 256),
  };
}

function readHeader(bytes: Uint8Array): SetupHeader {
  const view = viewOf(bytes);
  const version = view.getUint16(0x206, true);
  const read = (at: number, width: 1 | 2 | 4 | 8): number => {
    if (width === 1) return view.getUint8(at);
    if (width === 2) return view.getUint16(at, true);
    return width === 4 ? view.getUint32(at, true) : Number(view.getBigUint64(at, true));
  };
  const pairs = SETUP_HEADER_FIELDS.map(([field, at, width, since]) => [field, version >= since ? read(at, width) : 0]);
  return Object.fromEntries(pairs) as SetupHeader;
}

function truncated(bytes: Uint8Array, end: number, name: string, what: string): UserError {
  return new UserError(
    `${name} is truncated: ${what} ends at byte ${end}, the file has ${bytes.length}`,
    'copy or download the file again',
  );
}
