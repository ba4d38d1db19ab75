// SPDX-License-Identifier: Apache-2.0
// From a segment and an offset to a linear address, with the checks that the processor would have made, for instructions
// that exit before they reach memory.
// See: SDM 5.3 Limit Checking, 5.4 Type Checking, 6.15 Exception and Interrupt Reference (#AC)

import { CR0_BITS } from '../../arch/control-registers.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { AR_DB, AR_UNUSABLE, RFLAGS_AC, RFLAGS_VM } from '../../arch/vmx/state-bits.ts';
import { protectedMode } from '../events.ts';
import type { Vcpu } from '../vcpu.ts';
import { isSet, readNatural } from '../vmcs-access.ts';

const { GUEST_CR0, GUEST_ES_BASE, GUEST_ES_LIMIT, GUEST_ES_AR_BYTES } = OFFSET;

export const ES = 0;
const SS = 2;
const FS = 4;
const TWO_32 = 0x1_0000_0000;
const CANONICAL_END = 0x8000_0000_0000;
const STACK_FAULT = 12;
const GENERAL_PROTECTION = 13;
const ALIGNMENT_CHECK = 17;
const USER_CPL = 3;
/** Access rights: code or data, type in bits 3:0. */
const TYPE_AND_CLASS = 0x1c;
const EXPAND_DOWN_DATA = 0x14;
const CODE_OR_WRITABLE = 0xa;
const WRITABLE_DATA = 2;
const UNREADABLE_CODE = 8;

/**
 * Linear address, a signed Number, of `size` bytes in a segment (0 ES .. 5 GS); undefined after raising #GP(0) or #SS(0).
 * `offset` has been cut to the address size: unsigned for 16 and 32 bits, signed for 64.
 */
export function segmentLinear(
  vcpu: Vcpu,
  segment: number,
  offset: number,
  size: number,
  write: boolean,
): number | undefined {
  return vcpu.code64 ? linear64(vcpu, segment, offset, size) : linear32(vcpu, segment, offset, size, write);
}

/** True after raising #AC(0). `size`: 1, 2, 4 or 8 bytes. */
export function misaligned(vcpu: Vcpu, linear: number, size: number): boolean {
  if (linear % size === 0 || vcpu.cpl !== USER_CPL || (vcpu.rflags & RFLAGS_AC) === 0) return false;
  if (!isSet(vcpu.processor, GUEST_CR0, CR0_BITS.AM)) return false;
  vcpu.raise(ALIGNMENT_CHECK, 0);
  return true;
}

/** The base counts for FS and GS only; no limit, but the address must be canonical. */
function linear64(vcpu: Vcpu, segment: number, offset: number, size: number): number | undefined {
  const linear = segment >= FS ? readNatural(vcpu.processor, GUEST_ES_BASE + 8 * segment) + offset : offset;
  if (linear >= -CANONICAL_END && linear + size <= CANONICAL_END) return linear;
  return fault(vcpu, segment);
}

/** In real-address and virtual-8086 mode a segment has a limit, but no type. */
function linear32(vcpu: Vcpu, segment: number, offset: number, size: number, write: boolean): number | undefined {
  const { processor } = vcpu;
  const rights = processor.readLow(GUEST_ES_AR_BYTES + 8 * segment);
  const limit = processor.readLow(GUEST_ES_LIMIT + 8 * segment);
  const typed = protectedMode(vcpu) && (vcpu.rflags & RFLAGS_VM) === 0;
  if ((typed && !permits(rights, write)) || !inside(rights, limit, offset, size)) return fault(vcpu, segment);
  return (processor.readLow(GUEST_ES_BASE + 8 * segment) + offset) % TWO_32;
}

function permits(rights: number, write: boolean): boolean {
  if (rights & AR_UNUSABLE) return false;
  const type = rights & CODE_OR_WRITABLE;
  return write ? type === WRITABLE_DATA : type !== UNREADABLE_CODE;
}

function inside(rights: number, limit: number, offset: number, size: number): boolean {
  const last = offset + size - 1;
  if ((rights & TYPE_AND_CLASS) !== EXPAND_DOWN_DATA) return last <= limit;
  return offset > limit && last <= (rights & AR_DB ? 0xffffffff : 0xffff);
}

function fault(vcpu: Vcpu, segment: number): undefined {
  vcpu.raise(segment === SS ? STACK_FAULT : GENERAL_PROTECTION, 0);
  return undefined;
}
