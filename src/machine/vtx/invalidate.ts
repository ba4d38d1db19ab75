// SPDX-License-Identifier: Apache-2.0
// INVEPT and INVVPID. See: SDM 29.4.3 Invalidating Cached Translation Information, 31.3 VMX Instructions

import { extract } from '../../arch/vmx/bit-field.ts';
import { EPT_CAP, eptSupports, vpidSupports } from '../../arch/vmx/capabilities.ts';
import type { VmxCapabilities } from '../../arch/vmx/capabilities.ts';
import { EXIT_REASON } from '../../arch/vmx/exit-reasons.ts';
import { encodeInvalidate } from '../../arch/vmx/instruction-information.ts';
import type { Instruction } from '../../decode/instruction.ts';
import { STATUS } from '../cpu/interpreter/record.ts';
import { canonical, operandLinear } from '../cpu/microcode/effective-address.ts';
import { signedAt } from '../cpu/microcode/implicit-access.ts';
import type { Microcode, MicrocodeRoutines } from '../cpu/microcode/microcode.ts';
import type { Processor } from '../cpu/processor.ts';
import { INVEPT_TYPE, INVVPID_TYPE, supportsInvept, supportsInvvpid } from './capability-questions.ts';
import { rootOnly, unitInOperation } from './operation.ts';
import { displacement, memoryOperand } from './instruction-operand.ts';
import { fail, succeed } from './outcome.ts';
import type { VmxUnit } from './vmx-unit.ts';

/** The 16 bytes of the descriptor. */
const descriptor = new Uint8Array(16);
const view = new DataView(descriptor.buffer);

/** What both do before the type decides; `body` gets the type, and the descriptor above. */
function invalidation(
  reason: number,
  exists: (capabilities: VmxCapabilities) => boolean,
  body: (unit: VmxUnit, type: number) => number,
): Microcode {
  return (cpu, instruction) => {
    const unit = unitInOperation(cpu);
    if (unit === undefined) return STATUS.fault;
    if (!exists(unit.capabilities)) {
      cpu.undefinedOpcode();
      return STATUS.fault;
    }
    if (unit.nonRoot) return exitWith(unit, instruction, reason);
    const status = rootOnly(unit, instruction, reason);
    if (status >= 0) return status;
    const linear = operandLinear(cpu, instruction, 16, false);
    if (cpu.faulted || !cpu.loadBytes(linear, descriptor)) return STATUS.fault;
    return body(unit, typeIn(cpu, instruction.operands[0].register));
  };
}

function typeIn(cpu: Processor, register: number): number {
  return cpu.code64 && cpu.words[register * 2 + 1] !== 0 ? -1 : cpu.reg32(register);
}

function exitWith(unit: VmxUnit, instruction: Instruction, reason: number): number {
  const value = displacement(unit.cpu, instruction);
  unit.exit.begin(reason).qualify(value | 0, Math.floor(value / 0x100000000));
  unit.exit.instructionInformation = encodeInvalidate(memoryOperand(instruction), instruction.operands[0].register);
  unit.makeInstructionExit(instruction);
  return STATUS.exit;
}

function invept(unit: VmxUnit, type: number): number {
  if (!supportsInvept(unit.capabilities, type)) return fail(unit, 'INVALID_OPERAND_TO_INVEPT_INVVPID');
  const low = view.getUint32(0, true);
  const high = view.getUint32(4, true);
  if (type === INVEPT_TYPE.singleContext && !validEptp(unit, low, high))
    return fail(unit, 'INVALID_OPERAND_TO_INVEPT_INVVPID');
  unit.invalidateEpt(type, high * 0x100000000 + (low - (low % 0x1000)));
  return succeed(unit.cpu);
}

/** Whether VM entry would accept it. See: SDM 25.6.11 Extended-Page-Table Pointer (EPTP) */
export function validEptp(unit: VmxUnit, low: number, high: number): boolean {
  const { eptCapabilities, physicalAddressWidth } = unit.facts;
  const has = (part: keyof typeof EPT_CAP): boolean => extract(EPT_CAP[part], eptCapabilities) !== 0;
  const memoryType = low & 7;
  const walk = (low >>> 3) & 7;
  if (!(memoryType === 0 ? has('MEMORY_TYPE_UC') : memoryType === 6 && has('MEMORY_TYPE_WB'))) return false;
  if (!(walk === 3 ? has('PAGE_WALK_LENGTH_4') : walk === 4 && has('PAGE_WALK_LENGTH_5'))) return false;
  if ((low & 0x40) !== 0 && !has('ACCESSED_DIRTY')) return false;
  return (low & 0xf80) === 0 && high >>> (physicalAddressWidth - 32) === 0;
}

function invvpid(unit: VmxUnit, type: number): number {
  const vpid = view.getUint16(0, true);
  const reserved = view.getUint16(2, true) | view.getUint32(4, true);
  if (!supportsInvvpid(unit.capabilities, type) || reserved !== 0)
    return fail(unit, 'INVALID_OPERAND_TO_INVEPT_INVVPID');
  if (type !== INVVPID_TYPE.allContext && vpid === 0) return fail(unit, 'INVALID_OPERAND_TO_INVEPT_INVVPID');
  const linear = signedAt(view, 8);
  if (type === INVVPID_TYPE.individualAddress && !canonical(linear))
    return fail(unit, 'INVALID_OPERAND_TO_INVEPT_INVVPID');
  unit.invalidateVpid(type, vpid, linear);
  return succeed(unit.cpu);
}

export const INVALIDATION_MICROCODE: MicrocodeRoutines = {
  INVEPT: invalidation(EXIT_REASON.INVEPT, (shown) => eptSupports(shown, 'INVEPT'), invept),
  INVVPID: invalidation(EXIT_REASON.INVVPID, (shown) => vpidSupports(shown, 'INVVPID'), invvpid),
};
