// SPDX-License-Identifier: Apache-2.0
// L2's time-stamp counter. L1 sees the processor's plus offset01; what L1 wants L2 to see is that times multiplier12,
// shifted right by 48, plus offset12. The hardware has one multiplier and one offset for it.
// See: SDM 26.3 Changes to Instruction Behavior in VMX Non-Root Operation (RDTSC)

import { PRIMARY, SECONDARY } from '../../arch/vmx/controls.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import type { Halves } from '../../hardware/vmx.ts';
import type { Composition } from './composition.ts';

const TWO_32 = 0x1_0000_0000;
const ONE: Halves = { low: 0, high: 0x10000 };

/** `multiplier`: fixed point with 48 fractional bits, unsigned; `value`: signed 64 bits. In place. */
export function scale(value: Halves, multiplier: Halves): void {
  if (multiplier.low === ONE.low && multiplier.high === ONE.high) return;
  const signed = BigInt.asIntN(64, (BigInt(value.high) << 32n) | BigInt(value.low));
  const product = (signed * ((BigInt(multiplier.high) << 32n) | BigInt(multiplier.low))) >> 48n;
  value.low = Number(product & 0xffffffffn);
  value.high = Number((product >> 32n) & 0xffffffffn);
}

/** Modulo 2^64, in place. */
export function add(value: Halves, other: Halves): void {
  const low = value.low + other.low;
  value.high = (value.high + other.high + (low >= TWO_32 ? 1 : 0)) >>> 0;
  value.low = low >>> 0;
}

function multiplier12(c: Composition): Halves {
  if (!c.has12(SECONDARY.USE_TSC_SCALING) || !offsetting12(c)) return ONE;
  return { low: c.v12.low(OFFSET.TSC_MULTIPLIER), high: c.v12.high(OFFSET.TSC_MULTIPLIER) };
}

const offsetting12 = (c: Composition): boolean => (c.primary12 & PRIMARY.USE_TSC_OFFSETTING) !== 0;

/** offset02 = offset01 × multiplier12 + offset12. Without "use TSC offsetting" L2 reads L1's counter. */
export function composeTscOffset(c: Composition, out: Halves): void {
  c.ports.tscOffset01(out);
  scale(out, multiplier12(c));
  if (offsetting12(c)) add(out, { low: c.v12.low(OFFSET.TSC_OFFSET), high: c.v12.high(OFFSET.TSC_OFFSET) });
}

/** Scaling counts only together with offsetting, which vmcs02 always has. */
export function composeTscMultiplier(c: Composition, out: Halves): void {
  Object.assign(out, multiplier12(c));
}
