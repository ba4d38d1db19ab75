// SPDX-License-Identifier: Apache-2.0
import { storedMsr } from '../msrs.ts';
import type { Vcpu } from '../vcpu.ts';

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const CR4_OSXSAVE = 1 << 18;
const IA32_MISC_ENABLE = 0x1a0;
const ENABLE_MONITOR = 1n << 18n;

/** CPUID: the processor that L1 sees. */
export function cpuid(vcpu: Vcpu): void {
  const { machine, localApic } = vcpu;
  const leaf = vcpu.low(RAX);
  const subleaf = vcpu.low(RCX);
  const { eax, ebx, ecx, edx } = machine.cpuid.leaf(leaf, subleaf, {
    apicId: localApic.id,
    apicEnabled: localApic.globallyEnabled,
    osxsave: (vcpu.cr4 & CR4_OSXSAVE) !== 0,
    monitorEnabled: (storedMsr(vcpu, IA32_MISC_ENABLE) & ENABLE_MONITOR) !== 0n,
    code64: vcpu.code64,
  });
  vcpu.writeLow(RAX, eax);
  vcpu.writeLow(RBX, ebx);
  vcpu.writeLow(RCX, ecx);
  vcpu.writeLow(RDX, edx);
  const { recorder, time } = machine;
  if (recorder.tracing)
    recorder.event('kvm_cpuid', 0, vcpu.index, time.nanoseconds(), {
      function: leaf,
      index: subleaf,
      rax: eax,
      rbx: ebx,
      rcx: ecx,
      rdx: edx,
      found: true,
      used_max_basic: false,
    });
  vcpu.completeInstruction();
}
