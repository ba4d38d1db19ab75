// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { RFLAGS } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { ATTENTION, CS, STATE } from '../state.ts';
import { VECTOR } from './exceptions.ts';
import { attendToFlags, changeableFlags } from './flags.ts';
import { returnLong } from './iret-long.ts';
import { returnToProtected, returnToVirtual8086 } from './iret-protected.ts';
import type { MicrocodeRoutines } from './microcode.ts';
import { loadReal, loadVirtual8086 } from './segment-load.ts';
import { setStackPointer } from './stack-frame.ts';
import { popped } from './stack-reader.ts';
import { returnFromTask } from './task-transfer.ts';

const BLOCKING_BY_NMI = 8;
/** Flags that a return in real-address mode leaves: VM, VIF, VIP. */
const KEPT_IN_REAL_MODE = RFLAGS.VM | RFLAGS.VIF | RFLAGS.VIP;

/** VMX decides where there is any; an NMI that waited is looked at before the next instruction. */
function unblockNmi(cpu: Processor): void {
  const { words } = cpu;
  if ((words[STATE.interruptibility >> 2] & BLOCKING_BY_NMI) === 0) return;
  const { vmx } = cpu.environment;
  if (vmx === undefined) words[STATE.interruptibility >> 2] &= ~BLOCKING_BY_NMI;
  else vmx.unblockNmi();
  words[STATE.attention >> 2] |= ATTENTION.interrupt;
}

/** See: SDM 6.12.1 Exception- or Interrupt-Handler Procedures. NMIs are unblocked even when the instruction faults. */
function iret(cpu: Processor, instruction: Instruction): number {
  unblockNmi(cpu);
  const before = cpu.rflags;
  const { operandSize } = instruction;
  if (cpu.virtual8086 && (before & RFLAGS.IOPL) !== RFLAGS.IOPL) return cpu.generalProtection();
  if (cpu.realMode || cpu.virtual8086) returnReal(cpu, operandSize);
  else if (cpu.longMode) returnLong(cpu, operandSize);
  else if (before & RFLAGS.NT) return returnFromTask(cpu);
  else returnProtected(cpu, operandSize);
  if (cpu.faulted) return STATUS.fault;
  cpu.environment.vmx?.iretDone();
  attendToFlags(cpu, before);
  return STATUS.next;
}

function returnReal(cpu: Processor, operandSize: number): void {
  const { virtual8086 } = cpu;
  popped.read(cpu, operandSize >> 3, 3);
  const [offset, selector, image] = popped.values;
  if (cpu.faulted) return;
  if (offset > cpu.segmentLimit(CS)) return void cpu.fault(VECTOR.GP, 0);
  const mask = virtual8086
    ? changeableFlags(cpu, operandSize) & ~RFLAGS.IOPL
    : operandSize === 16
      ? 0xffff
      : ~KEPT_IN_REAL_MODE;
  setStackPointer(cpu, popped.pointer);
  if (virtual8086) loadVirtual8086(cpu, CS, selector & 0xffff);
  else loadReal(cpu, CS, selector & 0xffff);
  cpu.rip = offset;
  cpu.rflags = (cpu.rflags & ~mask & ~RFLAGS.RF) | (image & (mask | (operandSize === 16 ? 0 : RFLAGS.RF)));
  cpu.modeChanged();
}

function returnProtected(cpu: Processor, operandSize: number): void {
  popped.read(cpu, operandSize >> 3, 3);
  if (cpu.faulted) return;
  if (operandSize === 32 && popped.values[2] & RFLAGS.VM && cpu.cpl === 0) returnToVirtual8086(cpu);
  else returnToProtected(cpu, operandSize);
}

export const IRET_MICROCODE: MicrocodeRoutines = { IRET: iret };
