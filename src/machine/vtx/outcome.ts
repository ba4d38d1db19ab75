// SPDX-License-Identifier: Apache-2.0
// How a VMX instruction ends. See: SDM 31.2 Conventions

import { VM_INSTRUCTION_ERROR_NUMBER } from '../../arch/vmx/errors.ts';
import type { VmInstructionErrorName } from '../../arch/vmx/errors.ts';
import type { EntryRule } from '../../arch/vmx/entry-check-row.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { STATUS } from '../cpu/interpreter/record.ts';
import { RFLAGS } from '../cpu/processor.ts';
import type { Processor } from '../cpu/processor.ts';
import type { Vmcs } from './vmcs.ts';
import { NO_VMCS } from './vmcs.ts';
import type { VmxUnit } from './vmx-unit.ts';

const { VM_INSTRUCTION_ERROR } = OFFSET;

export function succeed(cpu: Processor): number {
  cpu.arithmeticFlags = 0;
  return STATUS.next;
}
/** VMfailInvalid: there is no current VMCS to take an error number. */
export function failInvalid(cpu: Processor): number {
  cpu.arithmeticFlags = RFLAGS.CF;
  return STATUS.next;
}
/** VMfailValid, with the error number in `vmcs`. */
export function failValid(cpu: Processor, vmcs: Vmcs, error: VmInstructionErrorName): number {
  cpu.arithmeticFlags = RFLAGS.ZF;
  vmcs.set(VM_INSTRUCTION_ERROR, VM_INSTRUCTION_ERROR_NUMBER[error]);
  return STATUS.next;
}
/** VM entry fails before anything is loaded, as the broken rule says. */
export function failEntry({ cpu, vmcs }: VmxUnit, { failure }: EntryRule): number {
  if (failure.kind !== 'VMfailValid') return failInvalid(cpu);
  cpu.arithmeticFlags = RFLAGS.ZF;
  vmcs.set(VM_INSTRUCTION_ERROR, failure.error);
  return STATUS.next;
}
/** VMfail: one or the other. */
export function fail(unit: VmxUnit, error: VmInstructionErrorName): number {
  return unit.state.currentVmcs === NO_VMCS ? failInvalid(unit.cpu) : failValid(unit.cpu, unit.vmcs, error);
}
