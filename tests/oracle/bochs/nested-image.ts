// SPDX-License-Identifier: Apache-2.0
// The L1 and L2 of tests/nested as both our machine and Bochs can run them: only what the processor of both has, and
// nothing that depends on how fast instructions are.
import { IMAGES, readImage } from '../../nested/image.ts';
import { kernelFor } from '../../nested/runs.ts';
import type { Variant } from '../../nested/runs.ts';
import { SECONDARY } from '../../../src/arch/vmx/controls.ts';

/** Fields that Haswell has not; L1 reads this one in their place. */
const ABSENT_FIELDS = [0x202c, 0x2032];
const VM_EXIT_REASON = 0x4402;
const ABSENT_CONTROLS = SECONDARY.RDSEED_EXITING | SECONDARY.ENABLE_XSAVES_XRSTORS;

interface Patch {
  readonly what: string;
  readonly from: readonly number[];
  readonly to: readonly number[];
}

// prettier-ignore
const PATCHES: readonly Patch[] = [
  { what: 'RDTSC; SHL RDX, 32 of L2',  from: [0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0x48, 0x89, 0xc3], to: [0x90, 0x90, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0x48, 0x89, 0xc3] },
  { what: 'RDTSCP',                    from: [0x0f, 0x01, 0xf9], to: [0x90, 0x90, 0x90] },
  // Bochs never wakes from HLT with interrupts off, whatever would exit. MOV EAX, 10; VMCALL; then HLT.
  { what: 'HLT with IF = 0',           from: [0xb8, 10, 0, 0, 0, 0x0f, 0x01, 0xc1, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xf4], to: [0xb8, 10, 0, 0, 0, 0x0f, 0x01, 0xc1, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90] },
];
/** MOV DX, F4h; OUT DX, EAX; HLT: L1's end. */
const END = [0x66, 0xba, 0xf4, 0x00, 0xef, 0xf4];
const LOADED_AT = 0x100000;
const ENTRY_IN_HEADER = 28;

export interface NestedImage {
  readonly kernel: Uint8Array;
  readonly entry: number;
  /** The OUT with which L1 ends. */
  readonly end: number;
}

export function nestedImage(variant: Variant): NestedImage {
  const { bytes } = readImage(IMAGES.l1);
  const kernel = Buffer.from(kernelFor(bytes, variant));
  for (const { what, from, to } of PATCHES) {
    const at = kernel.indexOf(Buffer.from(from));
    if (at < 0) throw new Error(`l1.hex has no ${what} any more`);
    kernel.set(to, at);
  }
  const view = new DataView(kernel.buffer, kernel.byteOffset, kernel.length);
  view.setUint32(bytes.length, view.getUint32(bytes.length, true) & ~ABSENT_CONTROLS, true);
  for (let at = bytes.length + 12; at < kernel.length; at += 4)
    if (ABSENT_FIELDS.includes(view.getUint32(at, true))) view.setUint32(at, VM_EXIT_REASON, true);
  const end = LOADED_AT + kernel.indexOf(Buffer.from(END)) + 4;
  return { kernel, entry: view.getUint32(ENTRY_IN_HEADER, true), end };
}
