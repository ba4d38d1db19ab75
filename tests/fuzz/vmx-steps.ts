// SPDX-License-Identifier: Apache-2.0
// Steps of L1: VMX instructions with operands of every kind, and the little else that L1 does between them.
import { FIELDS, fieldNamed } from '../../src/arch/vmx/fields.ts';
import type { FieldName } from '../../src/arch/vmx/fields.ts';
import type { Dice } from '../machine/random-program.ts';
import { OPERAND_PAGE, POINTERS } from './base-memory.ts';
import { LAYOUT, REGION_COUNT } from './layout.ts';
import { MONITOR } from './machines.ts';
import { listAddress } from './program.ts';
import type { Step } from './program.ts';

const PAGE = 0x1000;
const dword = (value: number): number[] => [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24];

/** Opcode bytes and the number in ModRM.reg of instructions with a pointer in memory. */
const POINTER = {
  VMXON: { opcode: [0xf3, 0x0f, 0xc7], reg: 6 },
  VMCLEAR: { opcode: [0x66, 0x0f, 0xc7], reg: 6 },
  VMPTRLD: { opcode: [0x0f, 0xc7], reg: 6 },
  VMPTRST: { opcode: [0x0f, 0xc7], reg: 7 },
} as const;
export type PointerInstruction = keyof typeof POINTER;

const PLAIN = {
  VMLAUNCH: [0x0f, 0x01, 0xc2],
  VMRESUME: [0x0f, 0x01, 0xc3],
  VMXOFF: [0x0f, 0x01, 0xc4],
  VMCALL: [0x0f, 0x01, 0xc1],
  VMFUNC: [0x0f, 0x01, 0xd4],
} as const;

/** A memory operand: what comes before the opcode, ModRM and what follows, and the registers it is made of. */
interface Operand {
  readonly prefix: readonly number[];
  readonly tail: (reg: number) => readonly number[];
  readonly registers: { readonly rdx?: bigint; readonly rbx?: bigint };
}

function operandAt(address: bigint, dice: Dice): Operand {
  const modrm =
    (mode: number, rm: number, ...rest: number[]) =>
    (reg: number) => [(mode << 6) | (reg << 3) | rm, ...rest];
  const wide = (value: bigint): bigint => BigInt.asUintN(64, value);
  switch (dice.below(8)) {
    case 0:
      return { prefix: [], tail: modrm(1, 2, 0x40), registers: { rdx: wide(address - 0x40n) } };
    case 1:
      return { prefix: [], tail: modrm(0, 4, 0x5a), registers: { rdx: wide(address - 0x20n), rbx: 0x10n } };
    case 2:
      if (address < 0x8000_0000n)
        return { prefix: [], tail: modrm(0, 4, 0x25, ...dword(Number(address))), registers: {} };
      return { prefix: [], tail: modrm(0, 2), registers: { rdx: address } };
    case 3:
      if (address < 0x1_0000_0000n)
        return { prefix: [0x67], tail: modrm(0, 2), registers: { rdx: address | 0xabcd_0000_0000n } };
      return { prefix: [0x64], tail: modrm(0, 2), registers: { rdx: address } };
    case 4:
      return { prefix: [dice.pick([0x2e, 0x36, 0x64, 0x65])], tail: modrm(0, 2), registers: { rdx: address } };
    default:
      return { prefix: [], tail: modrm(0, 2), registers: { rdx: address } };
  }
}

/** Linear addresses of operands that are not there, or not all of them. */
// prettier-ignore
const STRANGE: readonly bigint[] = [
  LAYOUT.OPERANDS + PAGE - 4, LAYOUT.OPERANDS + PAGE - 1, LAYOUT.OPERANDS + PAGE, LAYOUT.OPERANDS + 2 * PAGE - 4, LAYOUT.OPERANDS + 2 * PAGE, LAYOUT.OPERANDS + 3 * PAGE - 4,
  LAYOUT.OPERANDS + 4 * PAGE - 2, LAYOUT.OPERANDS + 4 * PAGE, LAYOUT.OPERANDS + 3,
].map(BigInt).concat([0x7fff_ffff_fffcn, 0x8000_0000_0000n, 0xffff_8000_0000_0000n, 0xffff_ffff_ffff_fffcn]);

function operandAddress(dice: Dice, pointer: number): bigint {
  if (dice.below(7) === 0) return dice.pick(STRANGE);
  const page = dice.below(8) === 0 ? dice.pick([OPERAND_PAGE.readOnly, OPERAND_PAGE.other]) : OPERAND_PAGE.ordinary;
  return BigInt(LAYOUT.OPERANDS + page * PAGE + 8 * pointer);
}

/** Index in POINTERS of the region of VMCS `number`. */
export const REGION_POINTER = (number: number): number => 1 + (number % REGION_COUNT);

/** With an ordinary operand: pointer number `pointer`. */
export function pointerStep(name: PointerInstruction, pointer: number): Step {
  const { opcode, reg } = POINTER[name];
  const address = LAYOUT.OPERANDS + 8 * pointer;
  return {
    what: `${name} ${POINTERS[pointer].toString(16)}`,
    code: [...opcode, 0x02 | (reg << 3)],
    rdx: BigInt(address),
  };
}

export function strangePointerStep(dice: Dice): Step {
  const name = dice.pick(Object.keys(POINTER) as PointerInstruction[]);
  const { opcode, reg } = POINTER[name];
  const address = operandAddress(dice, name === 'VMPTRST' ? 24 : dice.below(POINTERS.length));
  const { prefix, tail, registers } = operandAt(address, dice);
  const split = opcode.length - 2;
  return {
    what: `${name} [${address.toString(16)}]`,
    code: [...prefix, ...opcode.slice(0, split), ...opcode.slice(split), ...tail(reg)],
    ...registers,
  };
}

export function plainStep(name: keyof typeof PLAIN): Step {
  return { what: name, code: PLAIN[name] };
}

export function vmwriteStep(name: FieldName, value: bigint): Step {
  return { what: `VMWRITE ${name}`, code: [0x0f, 0x79, 0xc8], rcx: BigInt(fieldNamed(name).encoding), rax: value };
}

export function vmreadStep(name: FieldName): Step {
  return { what: `VMREAD ${name}`, code: [0x0f, 0x78, 0xc8], rcx: BigInt(fieldNamed(name).encoding) };
}

/** Exits save the PDPTEs of guests without PAE paging as they like; the others are vmcs-states.ts' affair. */
const READABLE = FIELDS.filter(({ name }) => !/^GUEST_PDPTR|^EXCEPTION_BITMAP|^CR0_GUEST_HOST_MASK/.test(name));

/**
 * VMREAD or VMWRITE of anything, to or from a register or memory. With VPIDs an exit keeps what was cached for L1: with
 * page tables that are none L1 would go on as long as the TLB has it, which the manual leaves open.
 */
export function strangeFieldStep(dice: Dice): Step {
  const reads = dice.below(2) === 0;
  const field = dice.pick(READABLE);
  const read = reads || field.name === 'HOST_CR3';
  const encoding =
    BigInt(
      dice.pick([
        field.encoding,
        field.encoding,
        field.encoding | 1,
        dice.below(0x8000),
        0x7ffe,
        0x8000,
        0xffffffff,
      ]) >>> 0,
    ) | (dice.below(20) === 0 ? 1n << 32n : 0n);
  const opcode = [0x0f, read ? 0x78 : 0x79];
  const what = `${read ? 'VMREAD' : 'VMWRITE'} ${field.name} or near it`;
  if (dice.below(3) === 0) return { what, code: [...opcode, 0xc8], rcx: encoding, rax: BigInt(dice.below(0x10000)) };
  const { prefix, tail, registers } = operandAt(operandAddress(dice, 24 + dice.below(8)), dice);
  return { what: `${what} in memory`, code: [...prefix, ...opcode, ...tail(1)], rcx: encoding, ...registers };
}

export function invalidateStep(dice: Dice): Step {
  const ept = dice.below(2) === 0;
  const type = BigInt(dice.pick([0, 1, 1, 2, 2, 3, 4])) | (dice.below(10) === 0 ? 1n << 32n : 0n);
  const { prefix, tail, registers } = operandAt(
    dice.below(5) === 0 ? operandAddress(dice, 40) : BigInt(LAYOUT.OPERANDS + 0x800 + 16 * dice.below(8)),
    dice,
  );
  return {
    what: ept ? 'INVEPT' : 'INVVPID',
    code: [...prefix, 0x66, 0x0f, 0x38, ept ? 0x80 : 0x81, ...tail(0)],
    rax: type,
    ...registers,
  };
}

/** Descriptors for INVEPT and INVVPID at OPERANDS + 0x800, 16 bytes each. */
export const INVALIDATE_DESCRIPTORS: readonly (readonly [bigint, bigint])[] = [
  [BigInt(LAYOUT.EPT | 0x1e), 0n],
  [BigInt(LAYOUT.EPT | 0x5e), 0n],
  [BigInt(LAYOUT.EPT | 0x26), 0n],
  [1n, BigInt(LAYOUT.L2_DATA)],
  [2n, 0x8000_0000_0000n],
  [0n, 0n],
  [0x1_0001n, 0n],
  [3n, 0n],
];

/** A VMX instruction where it must not be: above CPL 0, or in compatibility mode. R15 is where the step's code begins. */
export function forbiddenStep(dice: Dice): Step {
  const instruction = dice.pick([
    ...Object.values(PLAIN),
    [0x0f, 0x78, 0xc8],
    [0x0f, 0x79, 0xc8],
    [0x0f, 0xc7, 0x32],
    [0xf3, 0x0f, 0xc7, 0x32],
    [0x66, 0x0f, 0x38, 0x80, 0x02],
  ]);
  const rdx = BigInt(LAYOUT.OPERANDS + 8);
  if (dice.below(2) === 0) {
    const far = [0x6a, 0x28, 0x49, 0x8d, 0x47, 9, 0x50, 0x48, 0xcb];
    return { what: 'a VMX instruction in compatibility mode', code: [...far, ...instruction], rdx };
  }
  const user = [
    0x6a,
    0x3b,
    0x68,
    ...dword(LAYOUT.STACK - 0x800),
    0x6a,
    2,
    0x6a,
    0x33,
    0x49,
    0x8d,
    0x47,
    18,
    0x50,
    0x48,
    0xcf,
  ];
  return { what: 'a VMX instruction at CPL 3', code: [...user, ...instruction], rdx };
}

/** All fields of a list. */
export function listStep(index: number): Step {
  const call = [0xbf, ...dword(MONITOR.entries.write_fields), 0xff, 0xd7];
  return { what: `VMWRITE list ${index}`, code: call, rdx: BigInt(listAddress(index)) };
}

/** GUEST_RIP to the next slot, and VMRESUME. */
export function nextSlotStep(): Step {
  const advance = [0x0f, 0x78, 0xc8, 0x0c, 0x0f, 0x48, 0xff, 0xc0, 0x0f, 0x79, 0xc8];
  return {
    what: 'VMRESUME at the next slot',
    code: [...advance, ...PLAIN.VMRESUME],
    rcx: BigInt(fieldNamed('GUEST_RIP').encoding),
  };
}

export function storeStep(what: string, at: number, value: bigint): Step {
  return { what, code: [0x48, 0x89, 0x02], rdx: BigInt(at), rax: value };
}

/** A change of EPT12, made known at once. */
export function eptStep(what: string, at: number, value: bigint): Step {
  const invept = [0x66, 0x0f, 0x38, 0x80, 0x1c, 0x25, ...dword(LAYOUT.OPERANDS + 0x850)];
  return { what, code: [0x48, 0x89, 0x02, ...invept], rdx: BigInt(at), rax: value, rbx: 2n };
}

/** VMLAUNCH or VMRESUME behind MOV SS. */
export function blockedEntryStep(launch: boolean): Step {
  return {
    what: 'an entry behind MOV SS',
    code: [0x8e, 0xd0, ...(launch ? PLAIN.VMLAUNCH : PLAIN.VMRESUME)],
    rax: 0x10n,
  };
}

/** A timer interrupt in `ticks`. */
export function deadlineStep(ticks: number): Step {
  // prettier-ignore
  const code = [0x0f, 0x31, 0x48, 0xc1, 0xe2, 0x20, 0x48, 0x09, 0xd0, 0x48, 0x01, 0xc8, 0x48, 0x89, 0xc2, 0x48, 0xc1, 0xea, 0x20, 0xb9, 0xe0, 0x06, 0, 0, 0x0f, 0x30];
  return { what: 'a deadline', code, rcx: BigInt(ticks) };
}

// prettier-ignore
const OTHERS: readonly Omit<Step, 'rdx'>[] = [
  { what: 'interrupts open for a moment', code: [0xfb, 0x90, 0x90, 0xfa] },
  { what: 'MOV CR4 without VMXE', code: [0x0f, 0x20, 0xe0, 0x25, 0xff, 0xdf, 0xff, 0xff, 0x0f, 0x22, 0xe0] },
  { what: 'MOV CR0 without NE', code: [0x0f, 0x20, 0xc0, 0x24, 0xdf, 0x0f, 0x22, 0xc0] },
  { what: 'MOV CR0 without PG', code: [0x0f, 0x20, 0xc0, 0x0f, 0xba, 0xf0, 0x1f, 0x0f, 0x22, 0xc0] },
  { what: 'MOV CR4, a bit', code: [0x0f, 0x20, 0xe0, 0x34, 0x04, 0x0f, 0x22, 0xe0] },
  { what: 'the whole of the VMCS is logged from now on', code: [] },
];

/** MSRs of VMX, and instructions that VMX operation restricts. */
export function otherStep(dice: Dice): Step {
  if (dice.below(2) === 0) return dice.pick(OTHERS);
  const msr = dice.pick([
    0x3a, 0x480, 0x481, 0x482, 0x483, 0x484, 0x485, 0x486, 0x488, 0x48a, 0x48b, 0x48c, 0x48d, 0x490, 0x491, 0x492,
    0x4c0,
  ]);
  const write = dice.below(4) === 0;
  return {
    what: `${write ? 'WRMSR' : 'RDMSR'} ${msr.toString(16)}`,
    code: [0x0f, write ? 0x30 : 0x32],
    rcx: BigInt(msr),
    rax: BigInt(dice.below(8)),
    rdx: 0n,
  };
}
