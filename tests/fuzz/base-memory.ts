// SPDX-License-Identifier: Apache-2.0
// What memory holds before a program's own patches: page tables of L1 and L2, an EPT12 that maps everything, descriptor
// tables, pointers for the operands of VMX instructions, and code of L2 that does nothing.
import type { VmxCapabilities } from '../../src/arch/vmx/capabilities.ts';
import type { VmcsField } from '../../src/arch/vmx/fields.ts';
import { VMCS_REVISION_ID } from '../../src/arch/vmx/profiles.ts';
import { ALL_FIELDS, LAYOUT, PARAMETER, RAM_BYTES, REGION_COUNT, SOME_FIELDS } from './layout.ts';
import { allFields, someFields } from './logged-fields.ts';

const PAGE = 0x1000;
const LARGE = 0x200000;
const WRITABLE_USER = 7;
const LARGE_PAGE = 0x80;
const EPT_WRITE_BACK = 0x30;
const BEYOND_MEMORY = 0x4000_0000;
const VMCALL = [0x0f, 0x01, 0xc1];

/** Vectors of exceptions that push an error code. */
const WITH_ERROR_CODE = new Set([8, 10, 11, 12, 13, 14, 17, 21]);
const SKIP_SLOT = [0x48, 0x83, 0x04, 0x24, 0x10, 0x48, 0x83, 0x24, 0x24, 0xf0, 0x48, 0xcf];
const DROP_ERROR_CODE = [0x48, 0x83, 0xc4, 0x08];

/** Pages of OPERANDS as L1's linear addresses show them. */
export const OPERAND_PAGE = { ordinary: 0, absent: 1, readOnly: 2, other: 3, beyondMemory: 4 } as const;

/** Pointers that lie at OPERANDS, 8 bytes each. */
export const POINTERS: readonly bigint[] = [
  BigInt(LAYOUT.VMXON_REGION),
  ...Array.from({ length: REGION_COUNT }, (_, i) => BigInt(LAYOUT.REGIONS + i * PAGE)),
  BigInt(LAYOUT.REGIONS) + 8n,
  BigInt(LAYOUT.REGIONS) | (1n << 39n),
  BigInt(BEYOND_MEMORY),
  0xfee0_0000n,
  0x7f_ffff_f000n,
  0xffff_ffff_ffff_ffffn,
  BigInt(LAYOUT.IO_BITMAP_A),
  0n,
  BigInt(LAYOUT.VMXON_REGION) + 1n,
];

export function baseMemory(capabilities: VmxCapabilities): Buffer {
  const image = Buffer.alloc(RAM_BYTES);
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const put = (table: number, index: number, value: number): void =>
    view.setBigUint64(table + 8 * index, BigInt(value), true);
  tables(LAYOUT.PML4, put, WRITABLE_USER, 0);
  put(LAYOUT.PML4 + 3 * PAGE, LAYOUT.OPERANDS / PAGE + OPERAND_PAGE.absent, 0);
  put(LAYOUT.PML4 + 3 * PAGE, LAYOUT.OPERANDS / PAGE + OPERAND_PAGE.readOnly, LAYOUT.OPERANDS + 2 * PAGE + 5);
  put(LAYOUT.PML4 + 3 * PAGE, LAYOUT.OPERANDS / PAGE + OPERAND_PAGE.beyondMemory, BEYOND_MEMORY + 7);
  tables(LAYOUT.EPT, put, WRITABLE_USER, EPT_WRITE_BACK);
  tables(LAYOUT.L2_PML4, put, WRITABLE_USER, 0);
  otherPagingOfL2(view, put);
  for (let i = 0; i <= REGION_COUNT; i++) view.setUint32(LAYOUT.VMXON_REGION + i * PAGE, VMCS_REVISION_ID, true);
  for (const page of [0, OPERAND_PAGE.readOnly, OPERAND_PAGE.other])
    POINTERS.forEach((pointer, i) => view.setBigUint64(LAYOUT.OPERANDS + page * PAGE + 8 * i, pointer, true));
  descriptors(view);
  code(image);
  putFields(view, SOME_FIELDS, someFields(capabilities));
  putFields(view, ALL_FIELDS, allFields(capabilities));
  view.setUint32(LAYOUT.PARAMETERS + PARAMETER.logged, SOME_FIELDS, true);
  return image;
}

function putFields(view: DataView, at: number, fields: readonly VmcsField[]): void {
  fields.forEach(({ encoding }, i) => view.setUint32(at + 4 * i, encoding, true));
  view.setInt32(at + 4 * fields.length, -1, true);
}

/** Four levels: 4-KByte pages for the first 2 MBytes, a large one for the others; identity. */
function tables(
  root: number,
  put: (table: number, index: number, value: number) => void,
  table: number,
  leaf: number,
): void {
  for (let level = 0; level < 3; level++) put(root + level * PAGE, 0, root + (level + 1) * PAGE + table);
  put(root + 2 * PAGE, 1, LARGE + table + leaf + LARGE_PAGE);
  for (let page = 0; page < 512; page++) put(root + 3 * PAGE, page, page * PAGE + table + leaf);
}

/** Page directory for 32-bit paging at the fifth page, for PAE a pointer table at the sixth and a directory behind it. */
function otherPagingOfL2(view: DataView, put: (table: number, index: number, value: number) => void): void {
  view.setUint32(LAYOUT.L2_PML4 + 4 * PAGE, WRITABLE_USER | LARGE_PAGE, true);
  put(LAYOUT.L2_PML4 + 5 * PAGE, 0, LAYOUT.L2_PML4 + 6 * PAGE + 1);
  for (let page = 0; page < 2; page++) put(LAYOUT.L2_PML4 + 6 * PAGE, page, page * LARGE + WRITABLE_USER + LARGE_PAGE);
}

// prettier-ignore
const DESCRIPTORS = [
  0n, 0x00af9b000000ffffn, 0x00cf93000000ffffn, 0x18008b000067n | (BigInt(LAYOUT.L2_TSS & 0xffffff) << 16n), 0n,
  0x00cf9b000000ffffn, 0x00affb000000ffffn, 0x00cff3000000ffffn, 0x008f9b000000ffffn,
];

function descriptors(view: DataView): void {
  DESCRIPTORS.forEach((row, i) => view.setBigUint64(LAYOUT.L2_GDT + 8 * i, row, true));
  for (let vector = 0; vector < 256; vector++) {
    const at = LAYOUT.L2_IDT + 16 * vector;
    const handler = LAYOUT.L2_HANDLERS + 16 * vector;
    view.setUint32(at, (handler & 0xffff) | 0x80000, true);
    view.setUint32(at + 4, ((handler & 0xffff0000) | 0xee00) >>> 0, true);
  }
  // RSP0
  view.setUint32(LAYOUT.TSS + 4, LAYOUT.STACK, true);
  view.setUint32(LAYOUT.L2_TSS + 4, LAYOUT.L2_STACK - 0x800, true);
}

/** Slots of NOPs, then VMCALLs; the handlers go on with the next slot. */
function code(image: Uint8Array): void {
  image.fill(0x90, LAYOUT.L2_CODE, LAYOUT.L2_CODE + 2 * PAGE);
  for (let at = LAYOUT.L2_CODE + PAGE; at < LAYOUT.L2_CODE + 2 * PAGE; at += 16) image.set(VMCALL, at);
  for (let vector = 0; vector < 256; vector++) {
    const handler = [...(WITH_ERROR_CODE.has(vector) ? DROP_ERROR_CODE : []), ...SKIP_SLOT];
    image.set(handler, LAYOUT.L2_HANDLERS + 16 * vector);
  }
}
