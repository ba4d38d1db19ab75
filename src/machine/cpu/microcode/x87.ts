// SPDX-License-Identifier: Apache-2.0
import { opcodeTable } from '../../../arch/instructions/table.ts';
import { OperandKind } from '../../../decode/instruction.ts';
import type { Instruction } from '../../../decode/instruction.ts';
import { STATUS } from '../interpreter/record.ts';
import { CR0 } from '../register-bits.ts';
import type { Processor } from '../processor.ts';
import { CS, RAX } from '../state.ts';
import { x87Instruction } from '../x87/table.ts';
import { environmentBytes, saveBytes } from '../x87/images.ts';
import type { EnvironmentFormat, X87Instruction } from '../x87/instruction.ts';
import { X87 } from '../x87/x87.ts';
import { effectiveOffset, operandLinear } from './effective-address.ts';
import { FROZEN, VECTOR } from './exceptions.ts';
import type { Microcode, MicrocodeRoutines } from './microcode.ts';

const SAVES_ALL = new Set(['FNSAVE', 'FRSTOR']);

const units = new WeakMap<Processor, X87>();

/** The x87 unit over a processor's state block. */
export function x87Of(cpu: Processor): X87 {
  let unit = units.get(cpu);
  if (unit === undefined) {
    unit = new X87(cpu.memory.buffer, cpu.area);
    units.set(cpu, unit);
  }
  return unit;
}

function environmentFormat(cpu: Processor, instruction: Instruction): EnvironmentFormat {
  const wide = instruction.operandSize !== 16;
  if (cpu.realMode || cpu.virtual8086) return wide ? 'real32' : 'real16';
  return wide ? 'protected32' : 'protected16';
}

function stackIndex(instruction: Instruction): number {
  for (let i = 0; i < instruction.operandCount; i++) {
    const { kind, register } = instruction.operands[i];
    if (kind === OperandKind.X87 && register !== 0) return register;
  }
  return instruction.hasModrm ? instruction.rm : 0;
}

/** The unit's pointers to its last instruction and operand. See: SDM 8.1.8 x87 FPU Instruction and Data (Operand) Pointers. */
function record(cpu: Processor, instruction: Instruction, unit: X87, usesMemory: boolean): void {
  const rip = BigInt(cpu.rip - instruction.length);
  unit.recordInstruction(cpu.selector(CS), rip, ((instruction.opcode.opcode & 7) << 8) | instruction.modrm);
  if (usesMemory) unit.recordData(cpu.selector(instruction.memory.segment), BigInt(effectiveOffset(cpu, instruction)));
}

/** A waiting instruction met an unmasked exception: #MF, or FERR# with CR0.NE clear. True: it goes on all the same. */
function reportError(cpu: Processor): boolean {
  const internal = (cpu.cr0 & CR0.NE) !== 0;
  const pins = cpu.environment.x87Errors;
  if (!internal) pins?.ferr(true);
  if (!internal && pins?.ignne) return true;
  cpu.fault(internal ? VECTOR.MF : FROZEN);
  return false;
}

function execute(row: X87Instruction, mnemonic: string): Microcode {
  return (cpu, instruction) => {
    const unit = x87Of(cpu);
    if (row.waits && unit.pendingException() && !reportError(cpu)) return STATUS.fault;
    const format = environmentFormat(cpu, instruction);
    const bytes = row.bytes !== 0 ? row.bytes : SAVES_ALL.has(mnemonic) ? saveBytes(format) : environmentBytes(format);
    const usesMemory = row.memory !== 'none';
    const linear = usesMemory ? operandLinear(cpu, instruction, bytes, row.memory === 'store') : 0;
    if (cpu.faulted) return STATUS.fault;
    const memory = new Uint8Array(row.memory === 'load' ? bytes : 0);
    if (row.memory === 'load' && !cpu.loadBytes(linear, memory)) return STATUS.fault;
    if (row.memory === 'store' && !cpu.probeWrite(linear, bytes)) return STATUS.fault;
    const outcome = row.run(unit, { memory, index: stackIndex(instruction), eflags: cpu.arithmeticFlags, format });
    if (!unit.pendingException()) cpu.environment.x87Errors?.ferr(false);
    if (!row.control) record(cpu, instruction, unit, usesMemory);
    if (outcome.store) cpu.storeBytes(linear, outcome.store);
    if (outcome.eflags !== undefined) cpu.arithmeticFlags = outcome.eflags;
    if (outcome.ax !== undefined) cpu.setReg16(RAX, outcome.ax);
    return STATUS.next;
  };
}

const rows = opcodeTable.filter(
  ({ map, opcode }) => map === 0 && ((opcode >= 0xd8 && opcode <= 0xdf) || opcode === 0x9b),
);

export const X87_MICROCODE: MicrocodeRoutines = Object.fromEntries(
  rows.map(({ mnemonic, operandText }) => [
    `${mnemonic} ${operandText}`,
    execute(x87Instruction(mnemonic, operandText), mnemonic),
  ]),
);
