// SPDX-License-Identifier: Apache-2.0
import { OFFSET } from '../../arch/vmx/fields.ts';
import type { MutableHalves } from '../cpu/environment.ts';
import type { VmxUnit } from './vmx-unit.ts';

const { TSC_MULTIPLIER } = OFFSET;

/**
 * What the guest reads of the time-stamp counter: the product with the multiplier, shifted right by 48, plus the offset.
 * See: SDM 26.3 Changes to Instruction Behavior in VMX Non-Root Operation (RDTSC)
 */
export function guestTsc(unit: VmxUnit, counter: MutableHalves): void {
  const { controls, vmcs } = unit;
  if (controls.tscScaled) scale(counter, vmcs.low(TSC_MULTIPLIER), vmcs.high(TSC_MULTIPLIER));
  const low = counter.low + controls.tscOffsetLow;
  counter.high = (counter.high + controls.tscOffsetHigh + (low > 0xffffffff ? 1 : 0)) >>> 0;
  counter.low = low >>> 0;
}

function scale(counter: MutableHalves, low: number, high: number): void {
  const product = ((BigInt(counter.high) << 32n) | BigInt(counter.low)) * ((BigInt(high) << 32n) | BigInt(low));
  const scaled = product >> 48n;
  counter.low = Number(scaled & 0xffffffffn);
  counter.high = Number((scaled >> 32n) & 0xffffffffn);
}
