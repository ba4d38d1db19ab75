// SPDX-License-Identifier: Apache-2.0
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import type { Processor } from '../processor.ts';
import { ATTENTION, CS, DS, ES, FS, GS, SS, STATE } from '../state.ts';
import { operandLinear } from './effective-address.ts';
import { readOperand, writeGeneral, writeOperand } from './general-operand.ts';
import type { Microcode, MicrocodeRoutines } from './microcode.ts';
import { loadSegment } from './segment-load.ts';
import { StackFrame, setStackPointer } from './stack-frame.ts';
import { popped } from './stack-reader.ts';

const BLOCKING_BY_MOV_SS = 2;
const frame = new StackFrame();

/** After MOV or POP to SS nothing interrupts before the next instruction. See: SDM 6.8.3 Masking Exceptions and Interrupts When Switching Stacks. */
function shadow(cpu: Processor, segment: number): void {
  if (segment !== SS) return;
  cpu.words[STATE.interruptibility >> 2] |= BLOCKING_BY_MOV_SS;
  cpu.words[STATE.attention >> 2] |= ATTENTION.shadow;
}

function storeSelector(cpu: Processor, instruction: Instruction): number {
  const [target, source] = instruction.operands;
  return writeOperand(cpu, instruction, target, cpu.selector(source.register)) ? STATUS.next : STATUS.fault;
}

function moveToSegment(cpu: Processor, instruction: Instruction): number {
  const [target, source] = instruction.operands;
  const selector = readOperand(cpu, instruction, source);
  if (cpu.faulted || !loadSegment(cpu, target.register, selector)) return STATUS.fault;
  shadow(cpu, target.register);
  return STATUS.next;
}

/** An operand of 32 bits is moved as 16, and the upper half of its place on the stack stays as it was. */
function pushSegment(segment: number): Microcode {
  return (cpu, instruction) => {
    const size = instruction.operandSize >> 3;
    frame.onCurrent(cpu);
    frame.push(cpu.selector(segment));
    if (!frame.store(cpu, size, size === 4 ? 2 : size)) return STATUS.fault;
    setStackPointer(cpu, frame.pointer);
    return STATUS.next;
  };
}

function popSegment(segment: number): Microcode {
  return (cpu, instruction) => {
    if (!popped.read(cpu, instruction.operandSize >> 3, 1)) return STATUS.fault;
    const { pointer } = popped;
    const selector = popped.halves[0] & 0xffff;
    // The new SS decides nothing about how wide rSP was for this pop.
    const wide = cpu.accessRights(SS);
    if (!loadSegment(cpu, segment, selector)) return STATUS.fault;
    setPoppedPointer(cpu, pointer, wide);
    shadow(cpu, segment);
    return STATUS.next;
  };
}

function setPoppedPointer(cpu: Processor, pointer: number, stackRights: number): void {
  if (cpu.code64) setStackPointer(cpu, pointer);
  else writeGeneral(cpu, 4, stackRights & 0x4000 ? 32 : 16, pointer);
}

/** LES, LDS, LSS, LFS, LGS. */
function loadFarPointer(segment: number): Microcode {
  return (cpu, instruction) => {
    const [target] = instruction.operands;
    const size = target.size >> 3;
    const linear = operandLinear(cpu, instruction, size + 2, false);
    if (cpu.faulted) return STATUS.fault;
    const low = size === 2 ? cpu.load16(linear) : cpu.load32(linear);
    const high = size === 8 ? cpu.load32(linear + 4) : 0;
    const selector = cpu.load16(linear + size);
    if (cpu.faulted || !loadSegment(cpu, segment, selector)) return STATUS.fault;
    writeGeneral(cpu, target.register, target.size, low, high);
    return STATUS.next;
  };
}

export const SEGMENT_REGISTER_MICROCODE: MicrocodeRoutines = {
  'MOV Rv/Mw Sw': storeSelector,
  'MOV Sw Ew': moveToSegment,
  'PUSH ES': pushSegment(ES),
  'PUSH CS': pushSegment(CS),
  'PUSH SS': pushSegment(SS),
  'PUSH DS': pushSegment(DS),
  'PUSH FS': pushSegment(FS),
  'PUSH GS': pushSegment(GS),
  'POP ES': popSegment(ES),
  'POP SS': popSegment(SS),
  'POP DS': popSegment(DS),
  'POP FS': popSegment(FS),
  'POP GS': popSegment(GS),
  LES: loadFarPointer(ES),
  LDS: loadFarPointer(DS),
  LSS: loadFarPointer(SS),
  LFS: loadFarPointer(FS),
  LGS: loadFarPointer(GS),
};
