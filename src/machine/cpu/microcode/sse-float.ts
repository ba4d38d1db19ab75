// SPDX-License-Identifier: Apache-2.0
import { opcodeTable } from '../../../arch/instructions/table.ts';
import { OperandKind } from '../../../decode/instruction.ts';
import type { Instruction, Operand } from '../../../decode/instruction.ts';
import { SCRATCH_OFFSET } from '../../memory/layout.ts';
import { STATUS } from '../interpreter/record.ts';
import { CR4 } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { isSseFloat, sseFloatInstruction } from '../sse-float/table.ts';
import { SseFloatUnit } from '../sse-float/unit.ts';
import type { SseFloatInstruction } from '../sse-float/unit.ts';
import { STATE, generalOffset } from '../state.ts';
import { enterMmx, markMmxWritten } from '../x87/mmx.ts';
import { operandLinear } from './effective-address.ts';
import type { Microcode, MicrocodeRoutines } from './microcode.ts';
import { x87Of } from './x87.ts';

const UNDEFINED_OPCODE = 6;
const FLOATING_POINT_ERROR = 16;
const SIMD_EXCEPTION = 19;
/** A memory source is brought here; the load and store slots lie before it. */
const SOURCE = SCRATCH_OFFSET + 128;

const units = new WeakMap<ArrayBuffer, SseFloatUnit>();

function unitOf(cpu: Processor): SseFloatUnit {
  let unit = units.get(cpu.memory.buffer);
  if (unit === undefined) {
    unit = new SseFloatUnit(cpu.memory.buffer);
    units.set(cpu.memory.buffer, unit);
  }
  return unit;
}

/** Offset of a register operand in the memory that the unit works on. */
function place(cpu: Processor, operand: Operand): number {
  if (operand.kind === OperandKind.XMM) return cpu.area + STATE.xmm + operand.register * 16;
  if (operand.kind === OperandKind.MMX) return cpu.area + STATE.x87 + operand.register * 16;
  return cpu.area + generalOffset(operand.register);
}

/** Loads a memory source whole; legacy SSE wants 16 bytes aligned. False when that faulted. */
function loadSource(cpu: Processor, instruction: Instruction, bytes: number): boolean {
  const linear = operandLinear(cpu, instruction, bytes, false);
  if (cpu.faulted) return false;
  if (bytes === 16 && (linear & 15) !== 0) {
    cpu.generalProtection();
    return false;
  }
  return cpu.loadBytes(linear, cpu.bytes.subarray(SOURCE, SOURCE + bytes));
}

function usesMmx(instruction: Instruction): boolean {
  return instruction.operands[0].kind === OperandKind.MMX || instruction.operands[1].kind === OperandKind.MMX;
}

function finish(cpu: Processor, row: SseFloatInstruction, instruction: Instruction, unit: SseFloatUnit): void {
  const [destination] = instruction.operands;
  if (row.destination === 'flags') cpu.arithmeticFlags = unit.eflags;
  if (row.destination === 'general' && destination.size === 32) cpu.words[destination.register * 2 + 1] = 0;
  if (row.destination === 'mmx') markMmxWritten(x87Of(cpu), destination.register);
}

function execute(mnemonic: string): Microcode {
  return (cpu, instruction) => {
    const [destination, source] = instruction.operands;
    const wide =
      (destination.kind === OperandKind.GENERAL && destination.size === 64) ||
      (source.kind !== OperandKind.XMM && source.size === 64 && mnemonic.startsWith('CVTSI2'));
    const row = sseFloatInstruction(mnemonic, wide);
    if (usesMmx(instruction) && x87Of(cpu).pendingException()) return cpu.fault(FLOATING_POINT_ERROR);
    const memory = source.kind === OperandKind.MEMORY;
    if (memory && !loadSource(cpu, instruction, row.sourceBytes)) return STATUS.fault;
    // The change from x87 to MMX happens even when an unmasked exception then keeps the result from being written.
    if (usesMmx(instruction)) enterMmx(x87Of(cpu));
    const unit = unitOf(cpu);
    const from = memory ? cpu.area + SOURCE : place(cpu, source);
    const faulted = unit.execute(
      row,
      place(cpu, destination),
      from,
      instruction.immediateLow & 0xff,
      cpu.words[STATE.mxcsr >> 2],
    );
    cpu.words[STATE.mxcsr >> 2] = unit.mxcsr;
    if (faulted) return cpu.fault(cpu.cr4 & CR4.OSXMMEXCPT ? SIMD_EXCEPTION : UNDEFINED_OPCODE);
    finish(cpu, row, instruction, unit);
    return STATUS.next;
  };
}

export const SSE_FLOAT_MICROCODE: MicrocodeRoutines = Object.fromEntries(
  opcodeTable.filter(({ mnemonic }) => isSseFloat(mnemonic)).map(({ mnemonic }) => [mnemonic, execute(mnemonic)]),
);
