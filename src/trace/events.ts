// SPDX-License-Identifier: Apache-2.0
// What can be recorded. Names, fields and their order are those of KVM's tracepoints in Linux 6.1, so that what reads
// them reads ours; events that KVM does not have begin with `turtles_`.

/** `u32`: an unsigned Number. `u64`: a BigInt, or an exact Number. */
export type FieldType = 'u32' | 'u64' | 'boolean' | 'text';

interface TypeOfField {
  u32: number;
  u64: bigint | number;
  boolean: boolean;
  text: string;
}

const VM_EXIT = {
  vcpu_id: 'u32',
  /** The whole of the VMCS's exit reason, flags included. */
  exit_reason: 'u32',
  guest_rip: 'u64',
  /** Exit qualification, and the IDT-vectoring information field. */
  info1: 'u64',
  info2: 'u64',
  intr_info: 'u32',
  error_code: 'u32',
} as const;

// prettier-ignore
export const TRACE_EVENTS = {
  kvm_entry:                 { vcpu_id: 'u32', rip: 'u64' },
  kvm_exit:                  VM_EXIT,
  kvm_nested_vmexit:         VM_EXIT,
  kvm_nested_vmexit_inject:  { exit_reason: 'u32', exit_info1: 'u64', exit_info2: 'u64', exit_int_info: 'u32', exit_int_info_err: 'u32' },
  kvm_nested_vmenter:        { rip: 'u64', vmcs: 'u64', nested_rip: 'u64', int_ctl: 'u32', event_inj: 'u32', tdp_enabled: 'boolean', guest_pgd: 'u64' },
  kvm_nested_vmenter_failed: { msg: 'text', err: 'u32' },
  kvm_page_fault:            { vcpu_id: 'u32', guest_rip: 'u64', fault_address: 'u64', error_code: 'u64' },
  kvm_msr:                   { write: 'boolean', ecx: 'u32', data: 'u64', exception: 'boolean' },
  kvm_pio:                   { rw: 'boolean', port: 'u32', size: 'u32', count: 'u32', val: 'u32' },
  kvm_cpuid:                 { function: 'u32', index: 'u32', rax: 'u64', rbx: 'u64', rcx: 'u64', rdx: 'u64', found: 'boolean', used_max_basic: 'boolean' },
  kvm_inj_virq:              { vec: 'u32', soft: 'boolean', reinjected: 'boolean' },
  /** Where an exit of L2 went: to L0 itself, or on to L1, and by which rule. */
  turtles_exit_route:        { vcpu_id: 'u32', exit_reason: 'u32', to: 'text', rule: 'text' },
} as const satisfies { readonly [name: string]: { readonly [field: string]: FieldType } };

export type TraceEventName = keyof typeof TRACE_EVENTS;

/** The values of one event, by its fields. */
export type TraceFields<Name extends TraceEventName> = {
  readonly [Field in keyof (typeof TRACE_EVENTS)[Name]]: (typeof TRACE_EVENTS)[Name][Field] extends FieldType
    ? TypeOfField[(typeof TRACE_EVENTS)[Name][Field]]
    : never;
};

/** An event as it was recorded. */
export interface TraceEvent {
  readonly name: TraceEventName;
  /** Virtual nanoseconds since power-on. */
  readonly nanoseconds: number;
  readonly processor: number;
  /** Who records it: 0 is L0 (or the machine when there is none), 1 is L1. */
  readonly level: number;
  readonly fields: Readonly<Record<string, string | number | bigint | boolean>>;
}
