// SPDX-License-Identifier: Apache-2.0
// VM-exit instruction information: one layout per family of instructions, written by the processor, read by hypervisors.
// See: SDM 28.2.5 Information for VM Exits Due to Instruction Execution

import { compose, decompose } from './bit-field.ts';
import type { BitField, BitLayout } from './bit-field.ts';

const ADDRESS_SIZE = { 0: '16-bit', 1: '32-bit', 2: '64-bit' } as const;
const SEGMENT = { 0: 'ES', 1: 'CS', 2: 'SS', 3: 'DS', 4: 'FS', 5: 'GS' } as const;

// prettier-ignore
const SCALING:       BitField = { low:  0, width: 2, title: 'scaling', values: { 0: 'no scaling', 1: 'by 2', 2: 'by 4', 3: 'by 8' } };
const REGISTER_1: BitField = { low: 3, width: 4, title: 'register operand' };
const ADDRESS: BitField = { low: 7, width: 3, title: 'address size', values: ADDRESS_SIZE };
const MEMORY_OR_REGISTER: BitField = { low: 10, width: 1, title: 'operand', values: { 0: 'memory', 1: 'register' } };
const SEGMENT_REGISTER: BitField = { low: 15, width: 3, title: 'segment register', values: SEGMENT };
const INDEX: BitField = { low: 18, width: 4, title: 'index register' };
const INDEX_INVALID: BitField = { low: 22, width: 1, title: 'no index register' };
const BASE: BitField = { low: 23, width: 4, title: 'base register' };
const BASE_INVALID: BitField = { low: 27, width: 1, title: 'no base register' };
const REGISTER_2: BitField = { low: 28, width: 4, title: 'second register operand' };

/** The part that describes a memory operand. Its displacement is the exit qualification. */
const MEMORY = {
  SCALING,
  ADDRESS_SIZE: ADDRESS,
  SEGMENT: SEGMENT_REGISTER,
  INDEX,
  INDEX_INVALID,
  BASE,
  BASE_INVALID,
} as const;

// prettier-ignore
export const INSTRUCTION_INFORMATION = {
  // Table 28-8. INS and OUTS (only if IA32_VMX_BASIC[54] is 1)
  INS_OUTS:    { ADDRESS_SIZE: ADDRESS, SEGMENT: SEGMENT_REGISTER },
  // Table 28-9. INVEPT, INVPCID, and INVVPID
  INVALIDATE:  { ...MEMORY, REGISTER_2 },
  // Table 28-10. LIDT, LGDT, SIDT, or SGDT
  GDTR_IDTR:   { ...MEMORY, OPERAND_SIZE: { low: 11, width: 1, title: 'operand size', values: { 0: '16-bit', 1: '32-bit' } },
                 IDENTITY: { low: 28, width: 2, title: 'instruction', values: { 0: 'SGDT', 1: 'SIDT', 2: 'LGDT', 3: 'LIDT' } } },
  // Table 28-11. LLDT, LTR, SLDT, and STR
  LDTR_TR:     { ...MEMORY, REGISTER_1, MEMORY_OR_REGISTER,
                 IDENTITY: { low: 28, width: 2, title: 'instruction', values: { 0: 'SLDT', 1: 'STR', 2: 'LLDT', 3: 'LTR' } } },
  // Table 28-12. RDRAND, RDSEED, TPAUSE, and UMWAIT
  REGISTER:    { REGISTER_1, OPERAND_SIZE: { low: 11, width: 2, title: 'operand size', values: { 0: '16-bit', 1: '32-bit', 2: '64-bit' } } },
  // Table 28-13. VMCLEAR, VMPTRLD, VMPTRST, VMXON, XRSTORS, and XSAVES
  MEMORY,
  // Table 28-14. VMREAD and VMWRITE
  VMREAD_VMWRITE: { ...MEMORY, REGISTER_1, MEMORY_OR_REGISTER, REGISTER_2 },
  // Table 28-15. LOADIWKEY
  LOADIWKEY:   { REGISTER_1, REGISTER_2 },
} as const satisfies Record<string, BitLayout>;

export type InstructionInformationLayout = keyof typeof INSTRUCTION_INFORMATION;

/** A decoded memory operand, registers by number (0 RAX .. 15 R15, segments 0 ES .. 5 GS). */
export interface MemoryOperand {
  readonly addressSize: 16 | 32 | 64;
  readonly segment: number;
  /** Absent if the operand has none. */
  readonly base?: number;
  readonly index?: number;
  readonly scale?: 1 | 2 | 4 | 8;
}

const ADDRESS_SIZES = [16, 32, 64] as const;
const SCALES = [1, 2, 4, 8] as const;

/** The bits that describe a memory operand, to be or-ed with the rest of a layout. Absent registers read as 0. */
export function encodeMemoryOperand(operand: MemoryOperand): number {
  return compose(MEMORY, {
    ADDRESS_SIZE: ADDRESS_SIZES.indexOf(operand.addressSize),
    SEGMENT: operand.segment,
    BASE: operand.base ?? 0,
    BASE_INVALID: operand.base === undefined ? 1 : 0,
    INDEX: operand.index ?? 0,
    INDEX_INVALID: operand.index === undefined ? 1 : 0,
    SCALING: operand.index === undefined ? 0 : SCALES.indexOf(operand.scale ?? 1),
  });
}

/** The memory operand that an instruction-information value describes. */
export function decodeMemoryOperand(information: number): MemoryOperand {
  const bits = decompose(MEMORY, information);
  return {
    addressSize: ADDRESS_SIZES[bits.ADDRESS_SIZE] ?? 64,
    segment: bits.SEGMENT,
    ...(bits.BASE_INVALID === 0 ? { base: bits.BASE } : {}),
    ...(bits.INDEX_INVALID === 0 ? { index: bits.INDEX, scale: SCALES[bits.SCALING] } : {}),
  };
}

/** Where VMREAD and VMWRITE have their data; the field's encoding is in the second register. */
export type Operand = { readonly memory: MemoryOperand } | { readonly register: number };

function encodeOperand(operand: Operand): number {
  if ('memory' in operand) return encodeMemoryOperand(operand.memory);
  // A register operand has no memory part; both "invalid" bits are undefined then, and 0 here.
  return compose({ REGISTER_1, MEMORY_OR_REGISTER }, { REGISTER_1: operand.register, MEMORY_OR_REGISTER: 1 });
}

/** VMREAD, VMWRITE: `encodingRegister` is the register that holds the field's encoding. */
export function encodeVmreadVmwrite(operand: Operand, encodingRegister: number): number {
  return (encodeOperand(operand) | compose({ REGISTER_2 }, { REGISTER_2: encodingRegister })) >>> 0;
}

/** INVEPT, INVVPID, INVPCID: `typeRegister` is the register that holds the type. */
export function encodeInvalidate(operand: MemoryOperand, typeRegister: number): number {
  return (encodeMemoryOperand(operand) | compose({ REGISTER_2 }, { REGISTER_2: typeRegister })) >>> 0;
}

export const GDTR_IDTR_IDENTITY = { SGDT: 0, SIDT: 1, LGDT: 2, LIDT: 3 } as const;
export const LDTR_TR_IDENTITY = { SLDT: 0, STR: 1, LLDT: 2, LTR: 3 } as const;

/** `operandSize` 64 has no encoding: in 64-bit mode the bit is undefined, and 0 here. */
export function encodeGdtrIdtr(
  instruction: keyof typeof GDTR_IDTR_IDENTITY,
  operand: MemoryOperand,
  operandSize: 16 | 32 | 64,
): number {
  const rest = { OPERAND_SIZE: operandSize === 32 ? 1 : 0, IDENTITY: GDTR_IDTR_IDENTITY[instruction] };
  return (encodeMemoryOperand(operand) | compose(INSTRUCTION_INFORMATION.GDTR_IDTR, rest)) >>> 0;
}

export function encodeLdtrTr(instruction: keyof typeof LDTR_TR_IDENTITY, operand: Operand): number {
  const identity = compose(INSTRUCTION_INFORMATION.LDTR_TR, { IDENTITY: LDTR_TR_IDENTITY[instruction] });
  return (encodeOperand(operand) | identity) >>> 0;
}

/** RDRAND, RDSEED, TPAUSE, UMWAIT. */
export function encodeRegister(register: number, operandSize: 16 | 32 | 64): number {
  const values = { REGISTER_1: register, OPERAND_SIZE: ADDRESS_SIZES.indexOf(operandSize) };
  return compose(INSTRUCTION_INFORMATION.REGISTER, values);
}

/** INS and OUTS. INS always uses ES, and its segment is undefined: 0 here. */
export function encodeInsOuts(addressSize: 16 | 32 | 64, outsSegment = 0): number {
  const values = { ADDRESS_SIZE: ADDRESS_SIZES.indexOf(addressSize), SEGMENT: outsSegment };
  return compose(INSTRUCTION_INFORMATION.INS_OUTS, values);
}
