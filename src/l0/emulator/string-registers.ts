// SPDX-License-Identifier: Apache-2.0
// The counters and pointers of string instructions, as wide as the address size.

import type { Vcpu } from '../vcpu.ts';

const RCX = 1;
const RFLAGS_DF = 1 << 10;

/** What rCX still counts. */
export function countLeft(vcpu: Vcpu, addressSize: number): bigint {
  return BigInt.asUintN(addressSize, vcpu.wide(RCX));
}

/** An offset in a segment: unsigned for 16 and 32 bits, a signed Number for 64 (rounded where it is not canonical). */
export function pointer(vcpu: Vcpu, register: number, addressSize: number): number {
  const value = BigInt.asUintN(addressSize, vcpu.wide(register));
  return Number(addressSize === 64 ? BigInt.asIntN(64, value) : value);
}

/** Adds `by` to a register, or subtracts it if RFLAGS.DF says so and the register is a pointer. */
export function advanceIndex(vcpu: Vcpu, register: number, addressSize: number, by: number, pointer = true): void {
  const before = vcpu.wide(register);
  const step = pointer && (vcpu.rflags & RFLAGS_DF) !== 0 ? -by : by;
  const after = BigInt.asUintN(addressSize, before + BigInt(step));
  // A 16-bit register leaves the bits above as they are; a 32-bit one clears them.
  vcpu.writeWide(register, addressSize === 16 ? (before & ~0xffffn) | after : after);
}
