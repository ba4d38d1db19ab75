// SPDX-License-Identifier: Apache-2.0
import { CONDITIONS } from '../../../arch/instructions/general.ts';
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { RFLAGS } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { CS, RCX } from '../state.ts';
import { canonical } from './effective-address.ts';
import { readGeneral, readOperand, writeGeneral } from './general-operand.ts';
import type { Microcode, MicrocodeRoutines } from './microcode.ts';
import { StackFrame, setStackPointer } from './stack-frame.ts';
import { popped, stackAt } from './stack-reader.ts';

/** Near transfers where they are no described operation: instruction pointers of 16 bits, or limits to be checked. */
const frame = new StackFrame();

/** Whether the instruction pointer may become `offset`; records #GP(0) otherwise. */
function checkOffset(cpu: Processor, offset: number): boolean {
  const inside = cpu.code64 ? canonical(offset) : offset <= cpu.segmentLimit(CS);
  if (!inside) cpu.generalProtection();
  return inside;
}

/** Cut to the operand size outside 64-bit code. */
function cut(cpu: Processor, offset: number, operandSize: number): number {
  if (cpu.code64) return offset;
  return operandSize === 16 ? offset & 0xffff : offset >>> 0;
}

function relativeTarget(cpu: Processor, instruction: Instruction): number {
  return cut(cpu, cpu.rip + (instruction.immediateLow | 0), instruction.operandSize);
}

function goTo(cpu: Processor, offset: number): number {
  if (!checkOffset(cpu, offset)) return STATUS.fault;
  cpu.rip = offset;
  return STATUS.next;
}

function callTo(cpu: Processor, offset: number, operandSize: number): number {
  if (!checkOffset(cpu, offset)) return STATUS.fault;
  frame.onCurrent(cpu);
  frame.push(cpu.rip);
  if (!frame.store(cpu, operandSize >> 3)) return STATUS.fault;
  setStackPointer(cpu, frame.pointer);
  cpu.rip = offset;
  return STATUS.next;
}

const jumpRelative: Microcode = (cpu, instruction) => goTo(cpu, relativeTarget(cpu, instruction));
const callRelative: Microcode = (cpu, instruction) =>
  callTo(cpu, relativeTarget(cpu, instruction), instruction.operandSize);

function jumpIndirect(cpu: Processor, instruction: Instruction): number {
  const offset = readOperand(cpu, instruction, instruction.operands[0]);
  return cpu.faulted ? STATUS.fault : goTo(cpu, offset);
}

function callIndirect(cpu: Processor, instruction: Instruction): number {
  const offset = readOperand(cpu, instruction, instruction.operands[0]);
  return cpu.faulted ? STATUS.fault : callTo(cpu, offset, instruction.operandSize);
}

function returnNear(cpu: Processor, instruction: Instruction): number {
  const size = instruction.operandSize >> 3;
  const release = instruction.operandCount > 0 ? instruction.immediateLow & 0xffff : 0;
  if (!popped.read(cpu, size, 1) || !checkOffset(cpu, popped.values[0])) return STATUS.fault;
  setStackPointer(cpu, stackAt(cpu, size + release));
  cpu.rip = popped.values[0];
  return STATUS.next;
}

/** Condition codes in pairs; the odd one is the even one's opposite. See: SDM B.1.4.7 Condition Test (tttn) Field. */
const PAIRS: readonly ((flags: number) => boolean)[] = [
  (flags) => (flags & RFLAGS.OF) !== 0,
  (flags) => (flags & RFLAGS.CF) !== 0,
  (flags) => (flags & RFLAGS.ZF) !== 0,
  (flags) => (flags & (RFLAGS.CF | RFLAGS.ZF)) !== 0,
  (flags) => (flags & RFLAGS.SF) !== 0,
  (flags) => (flags & RFLAGS.PF) !== 0,
  less,
  (flags) => less(flags) || (flags & RFLAGS.ZF) !== 0,
];

function less(flags: number): boolean {
  return ((flags & RFLAGS.SF) !== 0) !== ((flags & RFLAGS.OF) !== 0);
}

function jumpIf(code: number): Microcode {
  const test = PAIRS[code >> 1];
  const wanted = (code & 1) === 0;
  return (cpu, instruction) => (test(cpu.arithmeticFlags) === wanted ? jumpRelative(cpu, instruction) : STATUS.next);
}

/** LOOP counts in CX, ECX or RCX, by the address size. */
function loop(goesOn: (zero: boolean) => boolean): Microcode {
  return (cpu, instruction) => {
    const bits = instruction.addressSize;
    const low = cpu.words[RCX * 2] - 1;
    const high = cpu.words[RCX * 2 + 1] - (cpu.words[RCX * 2] === 0 ? 1 : 0);
    const more = bits === 16 ? (low & 0xffff) !== 0 : bits === 32 ? low !== 0 : (low | high) !== 0;
    const taken = more && goesOn((cpu.arithmeticFlags & RFLAGS.ZF) !== 0);
    if (taken && goTo(cpu, relativeTarget(cpu, instruction)) !== STATUS.next) return STATUS.fault;
    writeGeneral(cpu, RCX, bits, low, high);
    return STATUS.next;
  };
}

const jumpIfCountIsZero: Microcode = (cpu, instruction) =>
  readGeneral(cpu, RCX, instruction.addressSize) === 0 ? jumpRelative(cpu, instruction) : STATUS.next;

export const NEAR_TRANSFER_MICROCODE: MicrocodeRoutines = {
  'JMP Jb': jumpRelative,
  'JMP Jz': jumpRelative,
  'JMP Ev': jumpIndirect,
  'CALL Jz': callRelative,
  'CALL Ev': callIndirect,
  RET: returnNear,
  ...Object.fromEntries(CONDITIONS.map((condition, code) => [`J${condition}`, jumpIf(code)])),
  LOOP: loop(() => true),
  LOOPE: loop((zero) => zero),
  LOOPNE: loop((zero) => !zero),
  JCXZ: jumpIfCountIsZero,
};
