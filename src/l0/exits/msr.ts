// SPDX-License-Identifier: Apache-2.0
import { isLocalApicMsr, msrExists, readMsr, writeMsr } from '../msrs.ts';
import type { Vcpu } from '../vcpu.ts';

const RAX = 0;
const RCX = 1;
const RDX = 2;
const GENERAL_PROTECTION = 13;

/** RDMSR that the MSR bitmap does not let pass. */
export function rdmsr(vcpu: Vcpu): void {
  const index = vcpu.low(RCX);
  const value = readMsr(vcpu, index);
  trace(vcpu, false, index, value ?? 0n, value === undefined);
  if (value === undefined) return refuse(vcpu, index, 'reads');
  vcpu.writeLow(RAX, Number(value & 0xffffffffn));
  vcpu.writeLow(RDX, Number(value >> 32n));
  vcpu.completeInstruction();
}

/** WRMSR likewise. Timers and interrupts are written most: they take the short way. */
export function wrmsr(vcpu: Vcpu): void {
  const index = vcpu.low(RCX);
  const low = vcpu.low(RAX);
  const high = vcpu.low(RDX);
  const done = isLocalApicMsr(index)
    ? vcpu.localApic.writeMsr(index, low, high)
    : writeMsr(vcpu, index, (BigInt(high) << 32n) | BigInt(low));
  trace(vcpu, true, index, (BigInt(high) << 32n) | BigInt(low), !done);
  if (done) vcpu.completeInstruction();
  else refuse(vcpu, index, 'writes');
}

/** #GP(0); a register that does not exist at all is counted. */
function refuse(vcpu: Vcpu, index: number, kind: 'reads' | 'writes'): void {
  const { unknownMsrs } = vcpu.machine;
  if (!msrExists(vcpu, index)) {
    const count = unknownMsrs.get(index) ?? { reads: 0, writes: 0 };
    count[kind]++;
    unknownMsrs.set(index, count);
  }
  vcpu.raise(GENERAL_PROTECTION, 0);
}

function trace(vcpu: Vcpu, write: boolean, ecx: number, data: bigint, exception: boolean): void {
  const { recorder, time } = vcpu.machine;
  if (recorder.tracing) recorder.event('kvm_msr', 0, vcpu.index, time.nanoseconds(), { write, ecx, data, exception });
}
