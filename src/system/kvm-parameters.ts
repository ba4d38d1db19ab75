// SPDX-License-Identifier: Apache-2.0
import type { CpuProfile, HypervisorChoice } from './hypervisor.ts';

interface ParameterRow {
  readonly name: string;
  readonly paper: 'Y' | 'N';
  readonly modern: 'Y' | 'N';
  /** L0 does not offer it to L1, whatever the machine has. */
  readonly machineOnly?: boolean;
  /** Goes with EPT, which L1 is not shown where L0 pages by shadow-on-EPT. */
  readonly withEpt?: boolean;
}

/** What kvm_intel must choose on each profile. It falls back without a word when a capability is not as it wants it. */
// prettier-ignore
export const KVM_PARAMETERS: readonly ParameterRow[] = [
  { name: 'ept',                paper: 'Y', modern: 'Y', withEpt: true },
  { name: 'eptad',              paper: 'N', modern: 'Y', withEpt: true },
  { name: 'vpid',               paper: 'Y', modern: 'Y' },
  { name: 'unrestricted_guest', paper: 'N', modern: 'Y', withEpt: true },
  { name: 'flexpriority',       paper: 'Y', modern: 'Y' },
  { name: 'vnmi',               paper: 'Y', modern: 'Y' },
  { name: 'preemption_timer',   paper: 'N', modern: 'Y' },
  { name: 'enable_shadow_vmcs', paper: 'N', modern: 'Y', machineOnly: true },
];

const LINE = /(?:^|\s)kvm_intel\.(\w+)=(\w+)\s*$/;

/** The parameters of L1's kvm_intel, from the lines in which our L1 shows them. */
export class KvmParameters {
  readonly values = new Map<string, string>();

  /** A complete line on console number `console`. */
  line(console: number, line: string): void {
    const match = LINE.exec(line);
    if (console === 0 && match !== null) this.values.set(match[1]!, match[2]!);
  }

  /** What is not as the profile has it: "eptad is N, not Y". Empty when KVM was not loaded. */
  faults(profile: CpuProfile, { bare, paging }: HypervisorChoice): string[] {
    if (this.values.size === 0) return [];
    const rows = KVM_PARAMETERS.filter(({ machineOnly }) => bare || machineOnly !== true);
    const shownEpt = bare || paging === 'multi-dimensional';
    return rows.flatMap((row) => {
      const value = this.values.get(row.name) ?? 'absent';
      const expected = row.withEpt === true && !shownEpt ? 'N' : row[profile];
      return value === expected ? [] : [`${row.name} is ${value}, not ${expected}`];
    });
  }
}
