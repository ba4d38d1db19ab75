// SPDX-License-Identifier: Apache-2.0
// How a VMX instruction of L1 ends. See: SDM 31.2 Conventions

import { VM_INSTRUCTION_ERROR_NUMBER } from '../../arch/vmx/errors.ts';
import type { VmInstructionErrorName } from '../../arch/vmx/errors.ts';
import type { EntryRule } from '../../arch/vmx/entry-check-row.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import type { Vcpu } from '../vcpu.ts';
import type { NestedVcpu } from './nested-vcpu.ts';

const CF = 1;
const ZF = 0x40;
/** CF, PF, AF, ZF, SF, OF */
const STATUS_FLAGS = 0x8d5;

function complete(vcpu: Vcpu, flags: number): void {
  vcpu.rflags = ((vcpu.rflags & ~STATUS_FLAGS) | flags) >>> 0;
  vcpu.completeInstruction();
}

export function succeed(vcpu: Vcpu): void {
  complete(vcpu, 0);
}

/** VMfailInvalid: there is no current VMCS to take an error number. */
export function failInvalid(vcpu: Vcpu): void {
  complete(vcpu, CF);
}

/** VMfailValid: the error number is in the current VMCS, which is not shadowed there: reading it exits. */
export function failValid({ vcpu, vmcs12 }: NestedVcpu, error: VmInstructionErrorName): void {
  vmcs12.write(OFFSET.VM_INSTRUCTION_ERROR, VM_INSTRUCTION_ERROR_NUMBER[error], 0);
  complete(vcpu, ZF);
}

/** VM entry fails before anything is loaded, as the broken rule says. */
export function failEntry({ vcpu, vmcs12 }: NestedVcpu, { failure }: EntryRule): void {
  if (failure.kind !== 'VMfailValid') return failInvalid(vcpu);
  vmcs12.write(OFFSET.VM_INSTRUCTION_ERROR, failure.error, 0);
  complete(vcpu, ZF);
}

/** VMfail: one or the other. */
export function fail(nested: NestedVcpu, error: VmInstructionErrorName): void {
  if (nested.vmcs12.isCurrent) failValid(nested, error);
  else failInvalid(nested.vcpu);
}
