// SPDX-License-Identifier: Apache-2.0
// VMREAD and VMWRITE: on the current VMCS, and from non-root operation on the shadow VMCS.
// See: SDM 25.10 VMCS Types: Ordinary and Shadow, 31.3 VMX Instructions

import { groupsWritten } from '../../arch/vmx/entry-checks.ts';
import { SECONDARY } from '../../arch/vmx/controls.ts';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { encodeVmreadVmwrite } from '../../arch/vmx/instruction-information.ts';
import { addressAt } from '../../arch/vmx/vmcs-view.ts';
import { OperandKind } from '../../decode/instruction.ts';
import type { Instruction, Operand } from '../../decode/instruction.ts';
import { STATUS } from '../cpu/interpreter/record.ts';
import { operandLinear } from '../cpu/microcode/effective-address.ts';
import type { MicrocodeRoutines } from '../cpu/microcode/microcode.ts';
import type { Processor } from '../cpu/processor.ts';
import { bitmapBit } from './bitmaps.ts';
import { FIELD_KIND } from './field-table.ts';
import { unitInOperation } from './operation.ts';
import { displacement, operandOf } from './instruction-operand.ts';
import { failInvalid, failValid, succeed } from './outcome.ts';
import { NO_VMCS } from './vmcs.ts';
import type { Vmcs } from './vmcs.ts';
import type { VmxUnit } from './vmx-unit.ts';

const { VMREAD_BITMAP, VMWRITE_BITMAP } = OFFSET;

/** Names no field, whatever the processor. */
const NO_ENCODING = 0xffffffff;

/** The encoding in a register, unsigned; one that does not fit in 32 bits names nothing. */
function encodingIn(cpu: Processor, register: number): number {
  const { words } = cpu;
  if (cpu.code64 && words[register * 2 + 1] !== 0) return NO_ENCODING;
  return words[register * 2] >>> 0;
}

/** The VMCS that is meant, undefined when the instruction has ended: `ended` is its status then. */
let ended = 0;

function target(
  unit: VmxUnit,
  instruction: Instruction,
  encodingOperand: Operand,
  dataOperand: Operand,
  reason: number,
): Vmcs | undefined {
  const { cpu, state } = unit;
  if (unit.nonRoot) {
    const bitmap = reason === EXIT_REASON.VMREAD ? VMREAD_BITMAP : VMWRITE_BITMAP;
    if (!shadowed(unit, encodingIn(cpu, encodingOperand.register), bitmap)) {
      ended = exitWith(unit, instruction, encodingOperand, dataOperand, reason);
      return undefined;
    }
  }
  ended = STATUS.fault;
  if (cpu.cpl !== 0) ended = cpu.generalProtection();
  else if (unit.nonRoot) {
    if (unit.shadowAddress >= 0 && cpu.memory.host(unit.shadowAddress) !== -1)
      return unit.shadow.at(unit.shadowAddress);
    ended = failInvalid(cpu);
  } else if (state.currentVmcs !== NO_VMCS) return unit.vmcs;
  else ended = failInvalid(cpu);
  return undefined;
}

/** Whether non-root operation may do it itself: "VMCS shadowing" and a 0 in the bitmap. */
function shadowed(unit: VmxUnit, encoding: number, bitmap: number): boolean {
  if (!unit.controls.has2(SECONDARY.VMCS_SHADOWING) || encoding >= 0x8000) return false;
  return !bitmapBit(unit.cpu.memory, addressAt(unit.vmcs, bitmap), encoding);
}

function exitWith(
  unit: VmxUnit,
  instruction: Instruction,
  encodingOperand: Operand,
  dataOperand: Operand,
  reason: number,
): number {
  const { exit, cpu } = unit;
  const value = dataOperand.kind === OperandKind.MEMORY ? displacement(cpu, instruction) : 0;
  exit.begin(reason).qualify(value | 0, Math.floor(value / 0x100000000));
  exit.instructionInformation = encodeVmreadVmwrite(operandOf(instruction, dataOperand), encodingOperand.register);
  unit.makeInstructionExit(instruction);
  return STATUS.exit;
}

function vmread(cpu: Processor, instruction: Instruction): number {
  const unit = unitInOperation(cpu);
  if (unit === undefined) return STATUS.fault;
  const [destination, source] = instruction.operands;
  const vmcs = target(unit, instruction, source, destination, EXIT_REASON.VMREAD);
  if (vmcs === undefined) return ended;
  const encoding = encodingIn(cpu, source.register);
  const offset = unit.fields.offset(encoding);
  if (offset === 0) return failValid(cpu, vmcs, 'UNSUPPORTED_VMCS_COMPONENT');
  const upper = (encoding & 1) !== 0;
  const low = upper ? vmcs.high(offset) : vmcs.low(offset);
  const high = upper || !cpu.code64 ? 0 : vmcs.high(offset);
  if (destination.kind === OperandKind.GENERAL) {
    cpu.words[destination.register * 2] = low;
    cpu.words[destination.register * 2 + 1] = high;
  } else if (!storeOperand(cpu, instruction, low, high)) return STATUS.fault;
  return succeed(cpu);
}

function storeOperand(cpu: Processor, instruction: Instruction, low: number, high: number): boolean {
  const size = cpu.code64 ? 8 : 4;
  const linear = operandLinear(cpu, instruction, size, true);
  const host = cpu.faulted ? -1 : cpu.mmu.locate(linear, size, true, cpu.dataClass);
  if (host === -1) return false;
  cpu.memory.view.setUint32(host, low, true);
  if (size === 8) cpu.memory.view.setUint32(host + 4, high, true);
  cpu.mmu.finishStore();
  return true;
}

/** What VMWRITE writes. */
const data = { low: 0, high: 0 };

function loadOperand(cpu: Processor, instruction: Instruction, operand: Operand): boolean {
  const wide = cpu.code64;
  if (operand.kind === OperandKind.GENERAL) {
    data.low = cpu.words[operand.register * 2];
    data.high = wide ? cpu.words[operand.register * 2 + 1] : 0;
    return true;
  }
  const size = wide ? 8 : 4;
  const linear = operandLinear(cpu, instruction, size, false);
  const host = cpu.faulted ? -1 : cpu.mmu.locate(linear, size, false, cpu.dataClass);
  if (host === -1) return false;
  data.low = cpu.memory.view.getInt32(host, true);
  data.high = wide ? cpu.memory.view.getInt32(host + 4, true) : 0;
  return true;
}

function vmwrite(cpu: Processor, instruction: Instruction): number {
  const unit = unitInOperation(cpu);
  if (unit === undefined) return STATUS.fault;
  const [source, value] = instruction.operands;
  const vmcs = target(unit, instruction, source, value, EXIT_REASON.VMWRITE);
  if (vmcs === undefined) return ended;
  if (!loadOperand(cpu, instruction, value)) return STATUS.fault;
  const encoding = encodingIn(cpu, source.register);
  const offset = unit.fields.offset(encoding);
  if (offset === 0) return failValid(cpu, vmcs, 'UNSUPPORTED_VMCS_COMPONENT');
  if (unit.fields.isReadOnly(encoding)) return failValid(cpu, vmcs, 'VMWRITE_READ_ONLY_VMCS_COMPONENT');
  const before = vmcs.low(offset);
  writeField(vmcs, offset, encoding, unit.fields.kind(encoding));
  unit.recording.wrote(unit, vmcs, offset, instruction);
  if (vmcs === unit.vmcs) unit.state.dirtyGroups |= groupsWritten(offset, before, vmcs.low(offset));
  else unit.checked.forget(unit.shadowAddress);
  return succeed(cpu);
}

function writeField(vmcs: Vmcs, offset: number, encoding: number, kind: number): void {
  if (encoding & 1) vmcs.write(offset, vmcs.low(offset), data.low);
  else if (kind >= FIELD_KIND.natural) vmcs.write(offset, data.low, data.high);
  else vmcs.set(offset, kind === FIELD_KIND.u16 ? data.low & 0xffff : data.low);
}

export const VMCS_ACCESS_MICROCODE: MicrocodeRoutines = { VMREAD: vmread, VMWRITE: vmwrite };
