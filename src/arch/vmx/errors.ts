// SPDX-License-Identifier: Apache-2.0
// What a VMX instruction can report, and what a VM exit can abort with.

/** See: SDM 31.4 VM Instruction Error Numbers */
export interface VmInstructionErrorRow<Name extends string = string> {
  readonly number: number;
  readonly name: Name;
  /** What went wrong, for people. */
  readonly text: string;
}

function row<const Name extends string>(number: number, name: Name, text: string): VmInstructionErrorRow<Name> {
  return { number, name, text };
}

// 14, 21, 23, 27 are not defined. Names follow KVM's VMXERR_.
// prettier-ignore
export const VM_INSTRUCTION_ERRORS = [
  row( 1, 'VMCALL_IN_VMX_ROOT_OPERATION',                          'VMCALL executed in VMX root operation'),
  row( 2, 'VMCLEAR_INVALID_ADDRESS',                               'VMCLEAR with invalid physical address'),
  row( 3, 'VMCLEAR_VMXON_POINTER',                                 'VMCLEAR with the VMXON pointer'),
  row( 4, 'VMLAUNCH_NONCLEAR_VMCS',                                'VMLAUNCH with a VMCS whose launch state is not clear'),
  row( 5, 'VMRESUME_NONLAUNCHED_VMCS',                             'VMRESUME with a VMCS whose launch state is not launched'),
  row( 6, 'VMRESUME_AFTER_VMXOFF',                                 'VMRESUME after VMXOFF (and VMXON)'),
  row( 7, 'ENTRY_INVALID_CONTROL_FIELD',                           'VM entry with invalid control field(s)'),
  row( 8, 'ENTRY_INVALID_HOST_STATE_FIELD',                        'VM entry with invalid host-state field(s)'),
  row( 9, 'VMPTRLD_INVALID_ADDRESS',                               'VMPTRLD with invalid physical address'),
  row(10, 'VMPTRLD_VMXON_POINTER',                                 'VMPTRLD with the VMXON pointer'),
  row(11, 'VMPTRLD_INCORRECT_VMCS_REVISION_ID',                    'VMPTRLD with an incorrect VMCS revision identifier'),
  row(12, 'UNSUPPORTED_VMCS_COMPONENT',                            'VMREAD or VMWRITE of an unsupported VMCS component'),
  row(13, 'VMWRITE_READ_ONLY_VMCS_COMPONENT',                      'VMWRITE to a read-only VMCS component'),
  row(15, 'VMXON_IN_VMX_ROOT_OPERATION',                           'VMXON executed in VMX root operation'),
  row(16, 'ENTRY_INVALID_EXECUTIVE_VMCS_POINTER',                  'VM entry with an invalid executive-VMCS pointer'),
  row(17, 'ENTRY_NONLAUNCHED_EXECUTIVE_VMCS',                      'VM entry with an executive VMCS that is not launched'),
  row(18, 'ENTRY_EXECUTIVE_VMCS_POINTER_NOT_VMXON_POINTER',        'VM entry with an executive-VMCS pointer that is not the VMXON pointer, in an attempt to deactivate the dual-monitor treatment'),
  row(19, 'VMCALL_NONCLEAR_VMCS',                                  'VMCALL with a VMCS whose launch state is not clear, in an attempt to activate the dual-monitor treatment'),
  row(20, 'VMCALL_INVALID_VM_EXIT_CONTROL_FIELDS',                 'VMCALL with invalid VM-exit control fields'),
  row(22, 'VMCALL_INCORRECT_MSEG_REVISION_ID',                     'VMCALL with an incorrect MSEG revision identifier'),
  row(24, 'VMCALL_INVALID_SMM_MONITOR_FEATURES',                   'VMCALL with invalid SMM-monitor features'),
  row(25, 'ENTRY_INVALID_VM_EXECUTION_CONTROL_FIELDS_IN_EXECUTIVE_VMCS', 'VM entry with invalid VM-execution control fields in the executive VMCS'),
  row(26, 'ENTRY_EVENTS_BLOCKED_BY_MOV_SS',                        'VM entry with events blocked by MOV SS'),
  row(28, 'INVALID_OPERAND_TO_INVEPT_INVVPID',                     'invalid operand to INVEPT or INVVPID'),
] as const;

export type VmInstructionErrorName = (typeof VM_INSTRUCTION_ERRORS)[number]['name'];

/** Error numbers by name. */
export const VM_INSTRUCTION_ERROR_NUMBER = Object.fromEntries(
  VM_INSTRUCTION_ERRORS.map((error) => [error.name, error.number]),
) as { readonly [Name in VmInstructionErrorName]: number };

/** The row of an error number; undefined for 0 (no error) and the numbers the manual does not define. */
export function vmInstructionError(number: number): VmInstructionErrorRow<VmInstructionErrorName> | undefined {
  return VM_INSTRUCTION_ERRORS.find((error) => error.number === number);
}

/** VMX-abort indicators, written at offset 4 of the region. See: SDM 28.7 VMX Aborts */
// prettier-ignore
export const VMX_ABORT = {
  SAVING_GUEST_MSRS:       1,
  HOST_PDPTE_CHECKS:       2,
  CORRUPTED_VMCS:          3,
  LOADING_HOST_MSRS:       4,
  MACHINE_CHECK_ON_EXIT:   5,
  HOST_NOT_IA32E_MODE:     6,
} as const;

/** What an indicator means, for people. */
export function vmxAbortText(indicator: number): string {
  const name = Object.entries(VMX_ABORT).find(([, value]) => value === indicator)?.[0];
  return name === undefined ? `indicator ${indicator}` : name.toLowerCase().replaceAll('_', ' ');
}
