// SPDX-License-Identifier: Apache-2.0
// How a field's encoding is built, and where our processors keep the field in the VMCS region.

/** Bits 14:13 of an encoding. */
export type FieldWidth = 'u16' | 'u64' | 'u32' | 'natural';
/** Bits 11:10 of an encoding. `exitInformation` is the manual's "read-only data fields". */
export type FieldArea = 'control' | 'exitInformation' | 'guest' | 'host';

const WIDTHS: readonly FieldWidth[] = ['u16', 'u64', 'u32', 'natural'];
const AREAS: readonly FieldArea[] = ['control', 'exitInformation', 'guest', 'host'];

/** See: SDM 25.11.2 VMREAD, VMWRITE, and Encodings of VMCS Fields */
export interface EncodingParts {
  /** Bit 0: the upper half of a 64-bit field. */
  readonly high: boolean;
  /** Bits 9:1. */
  readonly index: number;
  readonly area: FieldArea;
  readonly width: FieldWidth;
  /** Bits 12 and 31:15, which must be 0. */
  readonly reserved: number;
}

/** Takes an encoding (the 32-bit operand of VMREAD) apart. */
export function parseEncoding(encoding: number): EncodingParts {
  return {
    high: (encoding & 1) !== 0,
    index: (encoding >>> 1) & 0x1ff,
    area: AREAS[(encoding >>> 10) & 3],
    width: WIDTHS[(encoding >>> 13) & 3],
    reserved: (encoding & 0xffff9000) >>> 0,
  };
}

// The VMCS region is ours to lay out ("implementation-specific format"). Software reads the first two words:
// See: SDM 25.2 Format of the VMCS Region

export const VMCS_REGION_SIZE = 4096;
/** u32: bits 30:0 the revision identifier, bit 31 the shadow-VMCS indicator. */
export const REVISION_ID_OFFSET = 0;
/** u32: the VMX-abort indicator. */
export const ABORT_INDICATOR_OFFSET = 4;
/** u32: a `LaunchState`. */
export const LAUNCH_STATE_OFFSET = 8;
/** First byte of the fields; what lies before and is not named above is reserved as zero. */
export const FIELDS_OFFSET = 64;

/** See: SDM 25.1 Overview ("clear" and "launched") */
export const LAUNCH_STATE = { clear: 0, launched: 1 } as const;
export type LaunchState = (typeof LAUNCH_STATE)[keyof typeof LAUNCH_STATE];

/**
 * 8-byte slots set aside for each (width, area). The encoding alone gives a field's place, so that adding a field
 * never moves another: snapshots and migration depend on it. Growing a number is a new revision identifier.
 */
// prettier-ignore
const SLOTS: Record<FieldWidth, readonly [control: number, exitInformation: number, guest: number, host: number]> = {
  u16:     [  8,  0, 16,  8 ],
  u64:     [ 48,  4, 32, 16 ],
  u32:     [ 24,  8, 24,  4 ],
  natural: [  8,  8, 24, 16 ],
};

const FIRST_SLOT: readonly number[] = firstSlots();
const SLOT_COUNT = WIDTHS.flatMap((width) => SLOTS[width]).reduce((sum, slots) => sum + slots, 0);

function firstSlots(): number[] {
  let next = 0;
  return WIDTHS.flatMap((width) =>
    SLOTS[width].map((slots) => {
      const first = next;
      next += slots;
      return first;
    }),
  );
}

/** One past the last byte that a field can occupy in the region. */
export const FIELDS_END = FIELDS_OFFSET + 8 * SLOT_COUNT;

/** Byte offset of a field in the VMCS region, or -1 if the encoding lies outside what the layout reserves. */
export function regionOffset(encoding: number): number {
  const index = (encoding >>> 1) & 0x1ff;
  const widthAndArea = ((encoding >>> 11) & 0xc) | ((encoding >>> 10) & 3);
  const first = FIRST_SLOT[widthAndArea];
  const end = FIRST_SLOT[widthAndArea + 1] ?? SLOT_COUNT;
  return first + index < end ? FIELDS_OFFSET + 8 * (first + index) : -1;
}
