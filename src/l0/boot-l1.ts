// SPDX-License-Identifier: Apache-2.0
// Puts a boot plan into an L1: memory, the boot processor at its entry, and what firmware would have left. The shapes
// are those of boot/, which L0 does not import: who assembles the system hands its rows over.

import { assert } from '../base/assert.ts';
import type { PhysicalAddress } from '../hardware/memory.ts';
import { OFFSET } from '../arch/vmx/fields.ts';
import { setControlRegisters } from './control-registers.ts';
import { presetMsr } from './msrs.ts';
import { SEGMENT_NUMBER, clearEvents, setSegment } from './reset.ts';
import type { Vcpu } from './vcpu.ts';
import type { VirtualMachine } from './virtual-machine.ts';
import { write32, writeNatural } from './vmcs-access.ts';

const { GUEST_RIP, GUEST_RFLAGS, GUEST_GDTR_BASE, GUEST_GDTR_LIMIT, GUEST_IDTR_BASE, GUEST_IDTR_LIMIT } = OFFSET;
const TWO_32 = 0x1_0000_0000;

// prettier-ignore
const GENERAL = { rax: 0, rcx: 1, rdx: 2, rbx: 3, rsp: 4, rbp: 5, rsi: 6, rdi: 7, r8: 8, r9: 9, r10: 10, r11: 11, r12: 12, r13: 13, r14: 14, r15: 15 } as const;

/** The registers of the boot processor before the first instruction: `InitialState` of boot/plan.ts. */
export interface L1Entry {
  readonly rip: number;
  readonly rflags: number;
  readonly general: { readonly [Register in keyof typeof GENERAL]: number };
  readonly cr0: number;
  readonly cr2: number;
  readonly cr3: number;
  readonly cr4: number;
  readonly efer: number;
  readonly gdtr: { readonly base: number; readonly limit: number };
  readonly idtr: { readonly base: number; readonly limit: number };
  readonly segments: {
    readonly [Segment in keyof typeof SEGMENT_NUMBER]: {
      readonly selector: number;
      readonly base: number;
      readonly limit: number;
      readonly accessRights: number;
    };
  };
}

/** `BootPlan` of boot/plan.ts, as far as it is applied here. */
export interface L1BootPlan {
  readonly writes: readonly { readonly address: PhysicalAddress; readonly bytes: Uint8Array }[];
  readonly entry: L1Entry;
}

/** The rows of boot/firmware-state.ts. */
export interface L1Firmware {
  readonly msrs: readonly { readonly msr: number; readonly value: bigint; readonly reason: string }[];
  readonly localApic: (bootProcessor: boolean) => readonly { readonly offset: number; readonly value: number }[];
  readonly ports: readonly { readonly port: number; readonly value: number }[];
  readonly cmos: readonly { readonly index: number; readonly value: number }[];
}

/** Applies a plan. The virtual CPUs are those after power-up; their own vmcs01 is current on each processor. */
export function bootL1(machine: VirtualMachine, vcpus: readonly Vcpu[], plan: L1BootPlan, firmware: L1Firmware): void {
  for (const { address, bytes } of plan.writes) machine.memory.write(address, bytes);
  for (const vcpu of vcpus) {
    for (const { msr, value, reason } of firmware.msrs)
      assert(presetMsr(vcpu, msr, value), `firmware can set MSR ${msr.toString(16)}: ${reason}`);
    for (const { offset, value } of firmware.localApic(vcpu.index === 0)) vcpu.localApic.writeMemory(offset, 4, value);
  }
  for (const { port, value } of firmware.ports) machine.bus.writePort(port, 1, value);
  for (const { index, value } of firmware.cmos) machine.devices.rtc.preset(index, value);
  enterAt(vcpus[0], plan.entry);
}

function enterAt(vcpu: Vcpu, entry: L1Entry): void {
  const { processor } = vcpu;
  clearEvents(vcpu);
  for (const [name, register] of Object.entries(GENERAL) as [keyof typeof GENERAL, number][]) {
    const value = entry.general[name];
    vcpu.writeGeneral(register, value % TWO_32, Math.floor(value / TWO_32));
  }
  for (const [name, segment] of Object.entries(SEGMENT_NUMBER) as [keyof typeof SEGMENT_NUMBER, number][]) {
    const { selector, base, limit, accessRights } = entry.segments[name];
    setSegment(vcpu, segment, selector, base, limit, accessRights);
  }
  writeNatural(processor, GUEST_RIP, entry.rip);
  write32(processor, GUEST_RFLAGS, entry.rflags);
  writeNatural(processor, GUEST_GDTR_BASE, entry.gdtr.base);
  write32(processor, GUEST_GDTR_LIMIT, entry.gdtr.limit);
  writeNatural(processor, GUEST_IDTR_BASE, entry.idtr.base);
  write32(processor, GUEST_IDTR_LIMIT, entry.idtr.limit);
  processor.writeRegister('cr2', entry.cr2 >>> 0, 0);
  const { cr0, cr3, cr4, efer } = entry;
  setControlRegisters(vcpu, { cr0, cr3Low: cr3 % TWO_32, cr3High: Math.floor(cr3 / TWO_32), cr4, efer });
}
