// SPDX-License-Identifier: Apache-2.0
import type { HostMemory, HostPhysical } from '../hardware/vmx.ts';

/** MSRs that L1 reads and writes without an exit: the processor keeps them, in guest-state fields or across exits. */
// prettier-ignore
export const OPEN_MSRS: readonly (readonly [index: number, feature: string | undefined, name: string])[] = [
  [0x00000048, 'SPEC_CTRL', 'IA32_SPEC_CTRL'],
  [0x00000049, 'SPEC_CTRL', 'IA32_PRED_CMD'],
  [0x00000174, 'SEP',       'IA32_SYSENTER_CS'],
  [0x00000175, 'SEP',       'IA32_SYSENTER_ESP'],
  [0x00000176, 'SEP',       'IA32_SYSENTER_EIP'],
  [0x000001d9, undefined,   'IA32_DEBUGCTL'],
  [0x00000277, 'PAT',       'IA32_PAT'],
  [0xc0000081, 'SYSCALL',   'IA32_STAR'],
  [0xc0000082, 'SYSCALL',   'IA32_LSTAR'],
  [0xc0000083, 'SYSCALL',   'IA32_CSTAR'],
  [0xc0000084, 'SYSCALL',   'IA32_FMASK'],
  [0xc0000100, 'LM',        'IA32_FS_BASE'],
  [0xc0000101, 'LM',        'IA32_GS_BASE'],
  [0xc0000102, 'LM',        'IA32_KERNEL_GS_BASE'],
  [0xc0000103, 'RDTSCP',    'IA32_TSC_AUX'],
];

const WRITES = 2048;
const HIGH_MSRS = 1024;
const FIRST_HIGH = 0xc0000000;
const MSRS = 0x2000;

/** Byte and bit of an MSR in the half of the bitmap for reads; undefined: it always exits. See: SDM 25.6.9 MSR-Bitmap Address. */
export function msrBitmapPlace(index: number): { readonly byte: number; readonly bit: number } | undefined {
  const high = index >= FIRST_HIGH;
  const number = high ? index - FIRST_HIGH : index;
  return number < MSRS ? { byte: (high ? HIGH_MSRS : 0) + (number >> 3), bit: number & 7 } : undefined;
}

/** Lets the MSRs that L1 has of those above pass, for reads and writes, in a bitmap of ones. */
export function openMsrs(memory: HostMemory, bitmap: HostPhysical, machine: { has(feature: string): boolean }): void {
  const byte = new Uint8Array(1);
  for (const [index, feature] of OPEN_MSRS) {
    const place = msrBitmapPlace(index);
    if (place === undefined || (feature !== undefined && !machine.has(feature))) continue;
    for (const half of [0, WRITES]) {
      memory.read(bitmap + half + place.byte, byte);
      byte[0] &= ~(1 << place.bit);
      memory.write(bitmap + half + place.byte, byte);
    }
  }
}
