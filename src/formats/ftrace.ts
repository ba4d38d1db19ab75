// SPDX-License-Identifier: Apache-2.0
import { exitReason } from '../arch/vmx/exit-reasons.ts';
import { vmInstructionError } from '../arch/vmx/errors.ts';

/** An event with the values of its fields, by KVM's names for them. */
export interface FtraceEvent {
  readonly name: string;
  readonly nanoseconds: number;
  readonly processor: number;
  readonly level: number;
  readonly fields: Readonly<Record<string, string | number | bigint | boolean>>;
}

type Fields = FtraceEvent['fields'];
const NANOSECONDS = 1_000_000_000;
const BASIC_REASON = 0xffff;
const FAILED_ENTRY = 0x80000000;

/** Hexadecimal without 0x, at least `digits`; negative Numbers as 64-bit two's complement. */
function hexadecimal(value: Fields[string], digits: number): string {
  const wide = BigInt(value);
  return (wide < 0n ? BigInt.asUintN(64, wide) : wide).toString(16).padStart(digits, '0');
}

/** As the kernel prints a reason: its name, or a number it has no name for, and the flags. */
export function exitReasonText(reason: number): string {
  const basic = reason & BASIC_REASON;
  const flags = (reason & ~BASIC_REASON) >>> 0;
  const name = exitReason(basic)?.name ?? `0x${basic.toString(16)}`;
  if (flags === 0) return name;
  const rest = (flags & ~FAILED_ENTRY) >>> 0;
  const words = [
    ...(flags >= FAILED_ENTRY ? ['FAILED_VMENTRY'] : []),
    ...(rest !== 0 ? [`0x${rest.toString(16)}`] : []),
  ];
  return `${name} ${words.join(' ')}`;
}

/** What stands for `{field:form}` in a template. */
// prettier-ignore
const FORMS: Readonly<Record<string, (value: Fields[string]) => string>> = {
  d:      (value) => String(value),
  x:      (value) => hexadecimal(value, 1),
  x8:     (value) => hexadecimal(value, 8),
  x16:    (value) => hexadecimal(value, 16),
  reason: (value) => exitReasonText(Number(value)),
  error:  (value) => (value === 0 ? '' : (vmInstructionError(Number(value))?.name ?? `0x${hexadecimal(value, 1)}`)),
};

const VM_EXIT =
  'vcpu {vcpu_id:d} reason {exit_reason:reason} rip 0x{guest_rip:x} info1 0x{info1:x16} info2 0x{info2:x16} intr_info 0x{intr_info:x8} error_code 0x{error_code:x8}';

// What the kernel prints for each event, in Linux 6.1. `{field?yes:no}` chooses a word by a boolean.
// prettier-ignore
export const FTRACE_TEMPLATES: Readonly<Record<string, string>> = {
  kvm_entry:                 'vcpu {vcpu_id:d}, rip 0x{rip:x}',
  kvm_exit:                  VM_EXIT,
  kvm_nested_vmexit:         VM_EXIT,
  kvm_nested_vmexit_inject:  'reason: {exit_reason:reason} ext_inf1: 0x{exit_info1:x16} ext_inf2: 0x{exit_info2:x16} ext_int: 0x{exit_int_info:x8} ext_int_err: 0x{exit_int_info_err:x8}',
  kvm_nested_vmenter:        'rip: 0x{rip:x16} vmcs: 0x{vmcs:x16} nested_rip: 0x{nested_rip:x16} int_ctl: 0x{int_ctl:x8} event_inj: 0x{event_inj:x8} nested_ept={tdp_enabled?y:n} {tdp_enabled?nested_eptp:guest_cr3}: 0x{guest_pgd:x16}',
  kvm_nested_vmenter_failed: '{msg:d}{err:error}',
  kvm_page_fault:            'vcpu {vcpu_id:d} rip 0x{guest_rip:x} address 0x{fault_address:x16} error_code 0x{error_code:x}',
  kvm_msr:                   'msr_{write?write:read} {ecx:x} = 0x{data:x}{exception? (#GP):}',
  kvm_pio:                   'pio_{rw?write:read} at 0x{port:x} size {size:d} count {count:d} val 0x{val:x} ',
  kvm_cpuid:                 'func {function:x} idx {index:x} rax {rax:x} rbx {rbx:x} rcx {rcx:x} rdx {rdx:x}, cpuid entry {found?found:not found}{used_max_basic?, used max basic:}',
  kvm_inj_virq:              '{soft?Soft/INTn:IRQ} 0x{vec:x}{reinjected? [reinjected]:}',
  turtles_exit_route:        'vcpu {vcpu_id:d} reason {exit_reason:reason} to {to:d} by {rule:d}',
};

/** What the file begins with: the legend of the columns. */
export const FTRACE_HEADER = `# tracer: nop
#
#                                _-----=> irqs-off/BH-disabled
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| / _-=> migrate-disable
#                              |||| /     delay
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
`;

/** The text of an event after its name; undefined for a name without a template. */
export function ftraceText(name: string, fields: Fields): string | undefined {
  const text = FTRACE_TEMPLATES[name]?.replace(/\{(\w+)(?::(\w+)|\?([^:}]*):([^}]*))\}/g, (_, field, form, yes, no) =>
    form === undefined ? (fields[field] === true ? yes : no) : FORMS[form]!(fields[field]!),
  );
  return name === 'kvm_pio' && text !== undefined && Number(fields.count) > 1 ? `${text}(...)` : text;
}

/**
 * One line, without its end. The task is the level that records (turtles-L0), the process number its processor; time is
 * virtual, in seconds to the nanosecond, as `trace-cmd report -t` prints it.
 */
export function ftraceLine(event: FtraceEvent): string {
  const task = `turtles-L${event.level}`.padStart(16);
  const processor = String(event.processor).padStart(3, '0');
  const seconds = Math.floor(event.nanoseconds / NANOSECONDS);
  const rest = String(Math.floor(event.nanoseconds % NANOSECONDS)).padStart(9, '0');
  const text = ftraceText(event.name, event.fields) ?? plainText(event.fields);
  return `${task}-${String(event.processor).padEnd(7)} [${processor}] d..1. ${String(seconds).padStart(5)}.${rest}: ${event.name}: ${text}`;
}

function plainText(fields: Fields): string {
  return Object.entries(fields)
    .map(
      ([name, value]) =>
        `${name}=${typeof value === 'number' || typeof value === 'bigint' ? `0x${hexadecimal(value, 1)}` : value}`,
    )
    .join(' ');
}
