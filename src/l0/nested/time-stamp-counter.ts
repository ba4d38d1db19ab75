// SPDX-License-Identifier: Apache-2.0
// L2's time-stamp counter. L1 sees the processor's plus offset01; what L1 wants L2 to see is that times multiplier12,
// shifted right by 48, plus offset12. The hardware has one multiplier and one offset for it: with a multiplier other than
// 1 they give the same only while offset01 is 0, for a shift of the sum is not the sum of two shifts. L1 writes its
// counter seldom, and scales L2's seldom: where it has done both, RDTSC and RDTSCP of L2 exit to L0.
// See: SDM 26.3 Changes to Instruction Behavior in VMX Non-Root Operation (RDTSC)

import { PRIMARY, SECONDARY } from '../../arch/vmx/controls.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import type { Halves, RootProcessor } from '../../hardware/vmx.ts';
import { isSet, setBits } from '../vmcs-access.ts';
import type { Composition } from './composition.ts';
import type { NestedVcpu } from './nested-vcpu.ts';

const { CPU_BASED_VM_EXEC_CONTROL, SECONDARY_VM_EXEC_CONTROL, TSC_OFFSET, TSC_MULTIPLIER } = OFFSET;
const TWO_32 = 0x1_0000_0000;
const ONE: Halves = { low: 0, high: 0x10000 };
const [RAX, RCX, RDX] = [0, 1, 2];

/** `multiplier`: fixed point with 48 fractional bits; `value`: unsigned 64 bits, in place. */
function scale(value: Halves, multiplier: Halves): void {
  if (isOne(multiplier)) return;
  const product = (wide(value) * wide(multiplier)) >> 48n;
  value.low = Number(product & 0xffffffffn);
  value.high = Number((product >> 32n) & 0xffffffffn);
}

const isOne = ({ low, high }: Halves): boolean => low === ONE.low && high === ONE.high;
const wide = ({ low, high }: Halves): bigint => (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);

/** Modulo 2^64, in place. */
function add(value: Halves, other: Halves): void {
  const low = value.low + other.low;
  value.high = (value.high + other.high + (low >= TWO_32 ? 1 : 0)) >>> 0;
  value.low = low >>> 0;
}

function multiplier12(c: Composition): Halves {
  if (!c.has12(SECONDARY.USE_TSC_SCALING) || !offsetting12(c)) return ONE;
  return { low: c.v12.low(TSC_MULTIPLIER), high: c.v12.high(TSC_MULTIPLIER) };
}

const offsetting12 = (c: Composition): boolean => (c.primary12 & PRIMARY.USE_TSC_OFFSETTING) !== 0;

/** Without "use TSC offsetting" L2 reads L1's counter. offset01 is not scaled: with both the hardware does not count for L2. */
export function composeTscOffset(c: Composition, out: Halves): void {
  c.ports.tscOffset01(out);
  if (offsetting12(c)) add(out, { low: c.v12.low(TSC_OFFSET), high: c.v12.high(TSC_OFFSET) });
}

/** Scaling counts only together with offsetting, which vmcs02 always has. */
export function composeTscMultiplier(c: Composition, out: Halves): void {
  Object.assign(out, multiplier12(c));
}

const multiplier02 = (processor: RootProcessor): Halves => ({
  low: processor.readLow(TSC_MULTIPLIER),
  high: processor.readHigh(TSC_MULTIPLIER),
});

/** vmcs02 is current, and about to be entered: RDTSC exits where the hardware cannot give what L1 wants. */
export function interceptInexactTsc({ vcpu, vmcs12 }: NestedVcpu): void {
  const { processor, state } = vcpu;
  if (!isSet(processor, SECONDARY_VM_EXEC_CONTROL, SECONDARY.USE_TSC_SCALING)) return;
  const wanted12 = (vmcs12.low(CPU_BASED_VM_EXEC_CONTROL) & PRIMARY.RDTSC_EXITING) !== 0;
  const inexact = (state.tscOffsetLow | state.tscOffsetHigh) !== 0 && !isOne(multiplier02(processor));
  setBits(processor, CPU_BASED_VM_EXEC_CONTROL, PRIMARY.RDTSC_EXITING, wanted12 || inexact);
}

/** What RDTSC, RDTSCP (`auxiliary`) and RDMSR of the counter give L2, where L1 lets it have them. */
export function readTscOfL2({ vcpu, vmcs12 }: NestedVcpu, auxiliary: boolean): void {
  const { processor } = vcpu;
  const now: Halves = { low: 0, high: 0 };
  vcpu.tsc.read(now);
  if (isSet(processor, SECONDARY_VM_EXEC_CONTROL, SECONDARY.USE_TSC_SCALING)) scale(now, multiplier02(processor));
  if ((vmcs12.low(CPU_BASED_VM_EXEC_CONTROL) & PRIMARY.USE_TSC_OFFSETTING) !== 0)
    add(now, { low: vmcs12.low(TSC_OFFSET), high: vmcs12.high(TSC_OFFSET) });
  vcpu.writeLow(RAX, now.low);
  vcpu.writeLow(RDX, now.high);
  if (auxiliary) {
    processor.readRegister('tscAux', now);
    vcpu.writeLow(RCX, now.low);
  }
  vcpu.completeInstruction();
}
