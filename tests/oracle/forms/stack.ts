// SPDX-License-Identifier: Apache-2.0

import { littleEndian, type Draft } from '../draft.ts';
import { formsOf, type Row } from '../form.ts';
import { STACK } from '../memory-map.ts';
import { interestingBytes } from '../values.ts';
import { selectorOnStack } from './segment.ts';

const RSP = 4;
const RBP = 5;
/** Flags a program may change by POPF: the oracle needs TF itself, NT and ID cannot be set through a signal frame. */
const POPPABLE = 0xcd5n;

/** RSP somewhere in the stack, something interesting around it. */
function prepareStack(d: Draft): void {
  const pointer = d.chooseStackPointer();
  d.setRegister(RSP, pointer);
  d.patch(pointer, d.random.bytes(32));
}

/** A branch target that a trap can be taken at: canonical, and not the kernel's. */
const target = (d: Draft): bigint => BigInt.asUintN(46, d.random.u64());

function targetInOperand(d: Draft): void {
  const address = target(d);
  d.targetBytes = Uint8Array.from(littleEndian(address, 8));
  if (d.rm !== undefined) d.setRegister(d.rm, address);
}

function prepareCall(d: Draft): void {
  prepareStack(d);
  if (d.rm === RSP) d.rm = 3;
  targetInOperand(d);
}

function prepareReturn(d: Draft): void {
  prepareStack(d);
  d.patches.length = 0;
  d.patch(d.state.general[RSP], Uint8Array.from(littleEndian(target(d), 8)));
}

/** The image has no TF, and leaves IF as it cannot be changed at CPL 3. */
function preparePopFlags(d: Draft): void {
  prepareStack(d);
  d.patches.length = 0;
  const image = (d.random.u64() & POPPABLE) | 0x202n | (d.random.chance(20) ? 0x40000n : 0n);
  d.patch(d.state.general[RSP], Uint8Array.from(littleEndian(image, 8)));
}

/** The pushed image shows the TF that the oracle steps with. */
function allowPushedTf(d: Draft): void {
  d.allowance.memory.push({ address: BigInt.asUintN(64, d.state.general[RSP] - BigInt(d.size) + 1n), length: 1 });
}

function prepareEnter(d: Draft): void {
  prepareStack(d);
  const frame = d.random.chance(90) ? d.state.general[RSP] + BigInt(8 * d.random.below(16)) : d.chooseStackPointer();
  d.setRegister(RBP, frame);
  d.patch(frame - 64n, d.random.bytes(64));
  d.immediates = [BigInt(d.random.below(0x100)), BigInt(d.random.chance(60) ? 0 : d.random.below(8))];
  // What has been pushed when a later push faults is the processor's choice.
  const pointer = d.state.general[RSP];
  const lowest = pointer - BigInt(d.size) * (d.immediates[1] + 1n) - d.immediates[0];
  if (pointer >= BigInt(STACK) && lowest < BigInt(STACK))
    d.allowance.memory.push({ address: BigInt(STACK), length: Number(pointer) - STACK });
}

function prepareLeave(d: Draft): void {
  const pointer = d.chooseStackPointer();
  d.setRegister(RBP, pointer);
  d.patch(pointer, d.random.bytes(16));
}

/** POP into memory addressed by RSP: the address uses RSP after the increment. See: SDM 4.3 POP. */
function popThroughRsp(d: Draft): number[] {
  const displacement = d.random.below(128);
  return [...(d.size === 2 ? [0x66] : []), 0x8f, 0x44, 0x24, displacement];
}

function pushThroughRsp(d: Draft): number[] {
  const displacement = d.random.below(128);
  d.patch(d.state.general[RSP] + BigInt(displacement), interestingBytes(d.random, 'integer', d.size));
  return [...(d.size === 2 ? [0x66] : []), 0xff, 0x74, 0x24, displacement];
}

// prettier-ignore
const rows: Row[] = [
  ['push',  '50+r',   { sizes: 'wq', prepare: prepareStack }],
  ['push',  'FF /6',  { sizes: 'wq', prepare: prepareStack }],
  ['push',  'FF /6 rsp', { sizes: 'wq', prepare: prepareStack, emit: pushThroughRsp }],
  ['push',  '6A ib',  { sizes: 'wq', prepare: prepareStack }],
  ['push',  '68 iz',  { sizes: 'wq', prepare: prepareStack }],
  ['pop',   '58+r',   { sizes: 'wq', prepare: prepareStack }],
  ['pop',   '8F /0',  { sizes: 'wq', prepare: prepareStack }],
  ['pop',   '8F /0 rsp', { sizes: 'wq', prepare: prepareStack, emit: popThroughRsp }],
  ['pushf', '9C',     { sizes: 'wq', prepare: prepareStack, allow: allowPushedTf }],
  ['popf',  '9D',     { sizes: 'wq', prepare: preparePopFlags }],
  ['push',  '0F A0',  { sizes: 'wq', prepare: prepareStack }],
  ['push',  '0F A8',  { sizes: 'wq', prepare: prepareStack }],
  ['pop',   '0F A1',  { sizes: 'wq', prepare: selectorOnStack(4) }],
  ['pop',   '0F A9',  { sizes: 'wq', prepare: selectorOnStack(5) }],
  ['enter', 'C8 iw ib', { sizes: 'wq', prepare: prepareEnter }],
  ['leave', 'C9',     { sizes: 'wq', prepare: prepareLeave }],
  ['call',  'E8 id',  { sizes: 'q', prepare: (d) => { prepareStack(d); d.immediates = [BigInt(d.random.u32() >>> 2)]; } }],
  ['call',  'FF /2',  { sizes: 'q', prepare: prepareCall }],
  ['ret',   'C3',     { sizes: 'q', prepare: prepareReturn }],
  ['ret',   'C2 iw',  { sizes: 'q', prepare: prepareReturn }],
  ['jmp',   'FF /4',  { sizes: 'q', prepare: targetInOperand }],
];

const conditions = ['o', 'no', 'b', 'nb', 'z', 'nz', 'be', 'nbe', 's', 'ns', 'p', 'np', 'l', 'nl', 'le', 'nle'];
const opcode = (value: number): string => value.toString(16).toUpperCase();
const forward = (d: Draft): void => {
  d.immediates = [BigInt(d.random.u32() >>> 2)];
};
const smallCount = (d: Draft): void => {
  d.setRegister(
    1,
    d.random.chance(50)
      ? BigInt(d.random.below(3))
      : d.random.chance(50)
        ? BigInt(d.random.below(3)) << 32n
        : d.random.u64(),
  );
};

// prettier-ignore
const branchRows: Row[] = [
  ...conditions.flatMap((name, n): Row[] => [
    [`j${name}`, `${opcode(0x70 + n)} ib`],
    [`j${name}`, `0F ${opcode(0x80 + n)} id`, { prepare: forward }],
  ]),
  ['jmp',    'EB ib'],
  ['jmp',    'E9 id', { prepare: forward }],
  ['loopne', 'E0 ib', { prepare: smallCount }],
  ['loope',  'E1 ib', { prepare: smallCount }],
  ['loop',   'E2 ib', { prepare: smallCount }],
  ['jrcxz',  'E3 ib', { prepare: smallCount }],
  ['loop',   'address32 E2 ib', { prepare: smallCount, emit: (d) => [0x67, 0xe2, d.random.below(256)] }],
  ['loopne', 'address32 E0 ib', { prepare: smallCount, emit: (d) => [0x67, 0xe0, d.random.below(256)] }],
  ['loope',  'address32 E1 ib', { prepare: smallCount, emit: (d) => [0x67, 0xe1, d.random.below(256)] }],
  ['jecxz',  'address32 E3 ib', { prepare: smallCount, emit: (d) => [0x67, 0xe3, d.random.below(256)] }],
];

export const STACK_FORMS = formsOf('stack', rows);
export const BRANCH_FORMS = formsOf('branch', branchRows);
