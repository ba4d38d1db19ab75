// SPDX-License-Identifier: Apache-2.0
// Data and I/O breakpoints of the guest, for accesses that L0 makes in its place: the trap comes after the instruction.
// See: SDM 18.2.4 Debug Control Register (DR7), 18.2.5 Breakpoint Field Recognition

import { OFFSET } from '../arch/vmx/fields.ts';
import { CR4_DE } from '../arch/vmx/state-bits.ts';
import type { Halves, RootProcessor, UnsavedRegister } from '../hardware/vmx.ts';
import type { Vcpu } from './vcpu.ts';
import { isSet } from './vmcs-access.ts';

const { GUEST_DR7, GUEST_CR4 } = OFFSET;
/** L0 to L3 and G0 to G3. */
const ENABLES = 0xff;
/** What an access is to meet: a bit for each value of R/Wn in DR7 (1: writes, 2: ports, 3: reads and writes). */
const WATCHED = { read: 1 << 3, write: (1 << 1) | (1 << 3), port: 1 << 2 } as const;
/** LENn of DR7, in bytes. */
const LENGTHS = [1, 2, 8, 4] as const;
const REGISTERS: readonly UnsavedRegister[] = ['dr0', 'dr1', 'dr2', 'dr3'];
const TWO_32 = 0x1_0000_0000;

/** An access to `size` bytes at a linear address (signed Number) is part of the instruction, unless that faults. */
export function noteData(vcpu: Vcpu, linear: number, size: number, write: boolean): void {
  note(vcpu, linear, size, write ? WATCHED.write : WATCHED.read);
}

/** The same for ports, which are watched with CR4.DE only. */
export function notePort(vcpu: Vcpu, port: number, size: number): void {
  if (isSet(vcpu.processor, GUEST_CR4, CR4_DE)) note(vcpu, port, size, WATCHED.port);
}

function addressIn(processor: RootProcessor, name: UnsavedRegister): number {
  const register: Halves = { low: 0, high: 0 };
  processor.readRegister(name, register);
  return (register.high | 0) * TWO_32 + register.low;
}

function note(vcpu: Vcpu, address: number, size: number, watched: number): void {
  const dr7 = vcpu.processor.readLow(GUEST_DR7);
  if ((dr7 & ENABLES) === 0) return;
  for (let n = 0; n < REGISTERS.length; n++) {
    const enabled = ((dr7 >>> (2 * n)) & 3) !== 0;
    if (enabled && ((watched >>> ((dr7 >>> (16 + 4 * n)) & 3)) & 1) !== 0 && overlaps(vcpu, n, dr7, address, size))
      vcpu.breakpointsMet |= 1 << n;
  }
}

/** The address in DRn is aligned to the length. */
function overlaps({ processor }: Vcpu, n: number, dr7: number, address: number, size: number): boolean {
  const length = LENGTHS[(dr7 >>> (18 + 4 * n)) & 3];
  const register = addressIn(processor, REGISTERS[n]);
  const first = register - (((register % length) + length) % length);
  return address < first + length && first < address + size;
}
