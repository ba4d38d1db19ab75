// SPDX-License-Identifier: Apache-2.0
import { walkPages } from '../../decode/page-walk.ts';
import type { PagingState, WalkAccess, WalkResult } from '../../decode/page-walk.ts';
import { OFFSET } from '../../arch/vmx/fields.ts';
import { RFLAGS_AC } from '../../arch/vmx/state-bits.ts';
import { readLittleEndian, writeLittleEndian } from '../../devices/bus-width.ts';
import type { AccessWidth, PhysicalAddress } from '../../hardware/memory.ts';
import { noteData } from '../breakpoints.ts';
import { pagingRegisters } from '../control-registers.ts';
import type { Vcpu } from '../vcpu.ts';
import { NEEDS, PhysicalSpace } from './physical-space.ts';

const { GUEST_PDPTR0 } = OFFSET;
const PAGE_BYTES = 0x1000;
/** A walk that found its page. */
type Walked = Exclude<WalkResult, { readonly errorCode: number }>;

const USER_CPL = 3;
const ACCESSED = 0x20;
const DIRTY = 0x40;
const TWO_32 = 0x1_0000_0000;

/**
 * The guest's memory at linear addresses (signed Numbers), as its own accesses at this moment reach it: RAM, its local
 * APIC, devices. Where an access faults, the page fault is raised in the virtual CPU and the method gives false; where L2's is
 * forbidden by EPT12, L2 has left to L1.
 */
export class LinearMemory {
  readonly #vcpu: Vcpu;
  readonly #state: PagingState;
  readonly #space: PhysicalSpace;
  readonly #user: boolean;
  readonly #alignmentCheck: boolean;
  /** Where the last fetch ended; an error code of -1: EPT12 forbids it. */
  #fetchFault: { readonly linear: number; readonly errorCode: number } | undefined;

  constructor(vcpu: Vcpu) {
    this.#vcpu = vcpu;
    this.#space = new PhysicalSpace(vcpu);
    const { processor, machine } = vcpu;
    const pdptes = [0, 1, 2, 3].flatMap((i) => [
      processor.readLow(GUEST_PDPTR0 + 8 * i),
      processor.readHigh(GUEST_PDPTR0 + 8 * i),
    ]);
    const { physicalAddressBits, features } = machine.cpuid;
    const gigabytePages = features.has('PAGE_1GB');
    this.#state = { ...pagingRegisters(vcpu), pdptes, physicalAddressBits, gigabytePages };
    this.#user = vcpu.cpl === USER_CPL;
    this.#alignmentCheck = (vcpu.rflags & RFLAGS_AC) !== 0;
  }

  /** Fills `bytes` (1, 2, 4 or 8) from `linear` on. */
  read(linear: number, bytes: Uint8Array): boolean {
    noteData(this.#vcpu, linear, bytes.length, false);
    return this.#pieces(linear, bytes, { write: false, fetch: false }, (at, piece) =>
      readPhysical(this.#vcpu, at, piece),
    );
  }

  write(linear: number, bytes: Uint8Array): boolean {
    if (!this.probe(linear, bytes.length)) return false;
    noteData(this.#vcpu, linear, bytes.length, true);
    return this.#pieces(linear, bytes, { write: true, fetch: false }, (at, piece) =>
      writePhysical(this.#vcpu, at, piece),
    );
  }

  /** Whether a write would not fault; sets what a write would set in the page tables, and nothing else. */
  probe(linear: number, bytes: number): boolean {
    return this.#pieces(linear, new Uint8Array(bytes), { write: true, fetch: false }, () => {});
  }

  /** Instruction bytes; what cannot be fetched is cut off. Raises nothing: only the decoder knows whether it is missed, see `endFetch`. */
  fetch(linear: number, bytes: Uint8Array): number {
    for (let done = 0; done < bytes.length;) {
      const from = linear + done;
      this.#space.begin();
      const walk = walkPages(this.#space, this.#state, from, this.#access(false, true));
      const at = 'errorCode' in walk ? -1 : this.#finish(walk, NEEDS.fetch);
      if (at < 0) {
        const errorCode = 'errorCode' in walk && !this.#space.refused ? walk.errorCode : -1;
        this.#fetchFault = { linear: from, errorCode };
        return done;
      }
      const end = Math.min(bytes.length, done + PAGE_BYTES - offsetInPage(from));
      readPhysical(this.#vcpu, at, bytes.subarray(done, end));
      done = end;
    }
    return bytes.length;
  }

  /** Error code of the page fault that reading a descriptor at `linear` is; -1: it is none. Sets and raises nothing. */
  descriptorFault(linear: number): number {
    this.#space.begin();
    const access = { write: false, fetch: false, user: false, alignmentCheck: false };
    const walk = walkPages(this.#space, this.#state, linear, access);
    return 'errorCode' in walk && !this.#space.refused ? walk.errorCode : -1;
  }

  /** What comes of the last fetch, which was cut off: the page fault is raised, or L2 leaves for what EPT12 forbids. */
  endFetch(): void {
    if (this.#fetchFault === undefined) return;
    const { linear, errorCode } = this.#fetchFault;
    if (errorCode < 0) this.#space.exit(linear);
    else this.#vcpu.raisePageFault(linear, errorCode);
  }

  #pieces(
    linear: number,
    bytes: Uint8Array,
    { write, fetch }: { write: boolean; fetch: boolean },
    use: (at: PhysicalAddress, piece: Uint8Array) => void,
  ): boolean {
    for (let done = 0; done < bytes.length;) {
      const from = linear + done;
      const at = this.#translate(from, this.#access(write, fetch));
      if (at < 0) return false;
      const end = Math.min(bytes.length, done + PAGE_BYTES - offsetInPage(from));
      use(at, bytes.subarray(done, end));
      done = end;
    }
    return true;
  }

  #access(write: boolean, fetch: boolean): WalkAccess {
    return { write, fetch, user: this.#user, alignmentCheck: this.#alignmentCheck };
  }

  /**
   * L1-physical; -1 after raising a page fault, or after L2 has left for what EPT12 forbids. Sets the accessed and dirty
   * flags as the access would.
   */
  #translate(linear: number, access: WalkAccess): PhysicalAddress {
    const space = this.#space;
    space.begin();
    const walk = walkPages(space, this.#state, linear, access);
    if (!space.refused && 'errorCode' in walk) {
      this.#vcpu.raisePageFault(linear, walk.errorCode);
      return -1;
    }
    const at = 'errorCode' in walk ? -1 : this.#finish(walk, access.write ? NEEDS.write : NEEDS.read);
    if (at < 0) space.exit(linear);
    return at;
  }

  /** `needed`: one of NEEDS. -1: forbidden. */
  #finish({ entries, physical }: Walked, needed: number): PhysicalAddress {
    const last = entries.length - 1;
    const flags = (i: number): number => ACCESSED | (needed === NEEDS.write && i === last ? DIRTY : 0);
    const set = entries.every((entry, i) => this.#space.setFlags(entry, flags(i)));
    return set ? this.#space.locate(physical, needed) : -1;
  }
}

function offsetInPage(linear: number): number {
  const offset = linear % PAGE_BYTES;
  return offset < 0 ? offset + PAGE_BYTES : offset;
}

const isWidth = (length: number): length is AccessWidth => length === 1 || length === 2 || length === 4 || length === 8;

/** Reads at an L1-physical address within one page: RAM, the local APIC's page, or a device. */
export function readPhysical(vcpu: Vcpu, address: PhysicalAddress, bytes: Uint8Array): void {
  const { memory, bus } = vcpu.machine;
  if (memory.isRam(address)) return memory.read(address, bytes);
  const apic = vcpu.apicAt(address);
  const width = bytes.length;
  if (!isWidth(width) || (apic !== undefined && width === 8)) {
    for (let i = 0; i < width; i++) readPhysical(vcpu, address + i, bytes.subarray(i, i + 1));
  } else if (width === 8) {
    writeLittleEndian(bytes, 0, 4, bus.readMemory(address, 8));
    writeLittleEndian(bytes, 4, 4, bus.high);
  } else {
    writeLittleEndian(
      bytes,
      0,
      width,
      apic === undefined ? bus.readMemory(address, width) : apic.readMemory(address - apic.baseAddress, width),
    );
  }
}

/** Writes likewise. */
export function writePhysical(vcpu: Vcpu, address: PhysicalAddress, bytes: Uint8Array): void {
  const { memory, bus } = vcpu.machine;
  if (memory.isRam(address)) return memory.write(address, bytes);
  const apic = vcpu.apicAt(address);
  const width = bytes.length;
  if (!isWidth(width) || (apic !== undefined && width === 8)) {
    for (let i = 0; i < width; i++) writePhysical(vcpu, address + i, bytes.subarray(i, i + 1));
  } else if (width === 8) {
    bus.writeMemory(address, 8, readLittleEndian(bytes, 0, 4), readLittleEndian(bytes, 4, 4));
  } else {
    const value = readLittleEndian(bytes, 0, width);
    if (apic === undefined) bus.writeMemory(address, width, value);
    else apic.writeMemory(address - apic.baseAddress, width, value);
  }
}

/** An unsigned value of up to 64 bits, little-endian. */
export function valueOf(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
  return value;
}

export function bytesOf(value: bigint, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = Number((value >> BigInt(8 * i)) & 0xffn);
  return bytes;
}

/** A linear address as a signed Number from an unsigned 64-bit value. */
export function linearOf(value: bigint): number {
  return Number(BigInt.asIntN(64, value));
}

/** The unsigned halves of a linear address. */
export function halvesOf(linear: number): { low: number; high: number } {
  return { low: linear >>> 0, high: Math.floor(linear / TWO_32) >>> 0 };
}
