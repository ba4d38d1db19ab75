// SPDX-License-Identifier: Apache-2.0
// Instructions that exit because they always do, and have little to do.

import { UserError } from '../../base/errors.ts';
import type { Halves } from '../../hardware/vmx.ts';
import type { Vcpu } from '../vcpu.ts';

const RAX = 0;
const RCX = 1;
const RDX = 2;
const INVALID_OPCODE = 6;
const GENERAL_PROTECTION = 13;
/** x87 and SSE: what CPUID leaf 0DH enumerates. */
const XCR0_SUPPORTED = 3;
const XCR0_X87 = 1;

/** XSETBV. The processor has checked CR4.OSXSAVE. See: SDM Vol. 2D, XSETBV. */
export function xsetbv(vcpu: Vcpu): void {
  const low = vcpu.low(RAX);
  const supported = (low & ~XCR0_SUPPORTED) === 0 && (low & XCR0_X87) !== 0 && vcpu.low(RDX) === 0;
  if (vcpu.cpl !== 0 || vcpu.low(RCX) !== 0 || !supported) return vcpu.raise(GENERAL_PROTECTION, 0);
  vcpu.processor.writeRegister('xcr0', low, 0);
  vcpu.completeInstruction();
}

/** INVD and WBINVD: the machine has no caches that could differ from memory. */
export function cacheInstruction(vcpu: Vcpu): void {
  vcpu.completeInstruction();
}

/** An instruction that L1's CPUID does not show. */
export function undefinedInstruction(vcpu: Vcpu): void {
  vcpu.raise(INVALID_OPCODE);
}

/** RDTSC and RDTSCP, should a control make them exit. */
export function rdtsc(vcpu: Vcpu): void {
  const now: Halves = { low: 0, high: 0 };
  vcpu.tsc.read(now);
  vcpu.writeLow(RAX, now.low);
  vcpu.writeLow(RDX, now.high);
  vcpu.completeInstruction();
}

/** A task switch by TSS always exits, and is then the hypervisor's to do. */
export function taskSwitch(vcpu: Vcpu): void {
  throw new UserError(
    `Processor ${vcpu.index} of L1 switches tasks by hardware, at ${vcpu.rip.toString(16)}: L0 does not do that yet`,
    'run without L0, or use a 64-bit guest, which has no such switches',
  );
}

/** VMXON to VMXOFF, INVEPT, INVVPID, VMCALL, VMFUNC: nested VMX's; without it there are none. */
export function vmxInstruction(vcpu: Vcpu, reason: number): void {
  const { nested } = vcpu.machine;
  if (nested === undefined) vcpu.raise(INVALID_OPCODE);
  else nested.vmxInstruction(vcpu, reason);
}
