// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TRACE_EVENTS } from '../trace/events.ts';
import type { FieldType } from '../trace/events.ts';
import { exitReasonText, FTRACE_TEMPLATES, ftraceLine, ftraceText } from './ftrace.ts';

const EXIT = {
  vcpu_id: 0,
  exit_reason: 48,
  guest_rip: -0x7e000000,
  info1: 0x181n,
  info2: 0,
  intr_info: 0x80000b0e,
  error_code: 2,
};

// prettier-ignore
const LINES: readonly [name: string, fields: Record<string, string | number | bigint | boolean>, text: string][] = [
  ['kvm_entry', { vcpu_id: 0, rip: 0xfff0 }, 'vcpu 0, rip 0xfff0'],
  ['kvm_exit', EXIT, 'vcpu 0 reason EPT_VIOLATION rip 0xffffffff82000000 info1 0x0000000000000181 info2 0x0000000000000000 intr_info 0x80000b0e error_code 0x00000002'],
  ['kvm_nested_vmexit_inject', { exit_reason: 10, exit_info1: 0, exit_info2: 0, exit_int_info: 0, exit_int_info_err: 0 }, 'reason: CPUID ext_inf1: 0x0000000000000000 ext_inf2: 0x0000000000000000 ext_int: 0x00000000 ext_int_err: 0x00000000'],
  ['kvm_nested_vmenter', { rip: 1, vmcs: 2, nested_rip: 3, int_ctl: 4, event_inj: 5, tdp_enabled: true, guest_pgd: 6 }, 'rip: 0x0000000000000001 vmcs: 0x0000000000000002 nested_rip: 0x0000000000000003 int_ctl: 0x00000004 event_inj: 0x00000005 nested_ept=y nested_eptp: 0x0000000000000006'],
  ['kvm_nested_vmenter', { rip: 1, vmcs: 2, nested_rip: 3, int_ctl: 4, event_inj: 5, tdp_enabled: false, guest_pgd: 6 }, 'rip: 0x0000000000000001 vmcs: 0x0000000000000002 nested_rip: 0x0000000000000003 int_ctl: 0x00000004 event_inj: 0x00000005 nested_ept=n guest_cr3: 0x0000000000000006'],
  ['kvm_msr', { write: true, ecx: 0xc0000080, data: 0xd01n, exception: false }, 'msr_write c0000080 = 0xd01'],
  ['kvm_msr', { write: false, ecx: 0x34, data: 0, exception: true }, 'msr_read 34 = 0x0 (#GP)'],
  ['kvm_pio', { rw: true, port: 0x3f8, size: 1, count: 1, val: 0x41 }, 'pio_write at 0x3f8 size 1 count 1 val 0x41 '],
  ['kvm_pio', { rw: false, port: 0x510, size: 1, count: 9, val: 0 }, 'pio_read at 0x510 size 1 count 9 val 0x0 (...)'],
  ['kvm_cpuid', { function: 1, index: 0, rax: 0x806f8, rbx: 1, rcx: 2, rdx: 3, found: true, used_max_basic: false }, 'func 1 idx 0 rax 806f8 rbx 1 rcx 2 rdx 3, cpuid entry found'],
  ['kvm_inj_virq', { vec: 0xec, soft: false, reinjected: true }, 'IRQ 0xec [reinjected]'],
  ['kvm_page_fault', { vcpu_id: 1, guest_rip: 16, fault_address: 0xfee00000, error_code: 0x181 }, 'vcpu 1 rip 0x10 address 0x00000000fee00000 error_code 0x181'],
];

describe('ftrace text', () => {
  for (const [name, fields, text] of LINES)
    it(`prints ${name} as Linux does: ${text.slice(0, 30)}`, () => assert.equal(ftraceText(name, fields), text));

  it('has a line with task, processor and virtual time', () => {
    const line = ftraceLine({
      name: 'kvm_entry',
      nanoseconds: 12_000_345_678,
      processor: 1,
      level: 0,
      fields: { vcpu_id: 1, rip: 0 },
    });
    assert.equal(line, '      turtles-L0-1       [001] d..1.    12.000345678: kvm_entry: vcpu 1, rip 0x0');
  });

  it('names flags of an exit reason', () => {
    assert.equal(exitReasonText(0x80000021), 'INVALID_STATE FAILED_VMENTRY');
    assert.equal(exitReasonText(35), '0x23');
  });

  it('prints every field of every event that can be recorded', () => {
    assert.deepEqual(Object.keys(FTRACE_TEMPLATES), Object.keys(TRACE_EVENTS));
    const values: Record<FieldType, string | number | boolean> = { u32: 1, u64: 1, boolean: true, text: 'x' };
    const changed: Record<FieldType, string | number | boolean> = { u32: 7, u64: 7, boolean: false, text: 'y' };
    for (const [name, types] of Object.entries(TRACE_EVENTS) as [string, Record<string, FieldType>][]) {
      const fields = Object.fromEntries(Object.entries(types).map(([field, type]) => [field, values[type]]));
      for (const [field, type] of Object.entries(types))
        assert.notEqual(
          ftraceText(name, fields),
          ftraceText(name, { ...fields, [field]: changed[type] }),
          `${name}.${field}`,
        );
    }
  });
});
