// SPDX-License-Identifier: Apache-2.0
import { ENTRY, SECONDARY } from '../../src/arch/vmx/controls.ts';
import type { FieldName } from '../../src/arch/vmx/fields.ts';
import type { ProfileName } from '../../src/arch/vmx/profiles.ts';
import { STATE } from '../../src/machine/cpu/state.ts';
import { AT as BENCH, VmxBench } from '../../src/machine/vtx/vmx-bench.test.ts';
import type { NestedCase } from './ept-cases.ts';
import type { Kind } from './cases.ts';
import { AT, NestedTables, PAGE, eptOf, guestAddress, linearOf, pagingOf, pdptesOf, rootOf } from './nested-tables.ts';
import type { Ept, Paging, Tables } from './reference.ts';

/** A guest in VMX non-root operation that makes one access; its host writes both dimensions of tables. */

const KERNEL_CODE = BENCH.guestCode;
const USER_CODE = BENCH.guestCode + 0x1000;

/** The guest's code: offset in its page, and bytes. */
const CODE = {
  read: { at: 0x00, bytes: [0x48, 0x8b, 0x03, 0x0f, 0xa2] }, // mov rax, [rbx]; cpuid
  write: { at: 0x10, bytes: [0x48, 0x89, 0x0b, 0x0f, 0xa2] }, // mov [rbx], rcx; cpuid
  read32: { at: 0x20, bytes: [0x8b, 0x03, 0x0f, 0xa2] },
  write32: { at: 0x30, bytes: [0x89, 0x0b, 0x0f, 0xa2] },
  first: { at: 0x40, bytes: [0x0f, 0xa2] },
  movCr3: { at: 0x50, bytes: [0x0f, 0x22, 0xd8, 0x0f, 0xa2] }, // mov cr3, eax; cpuid
} as const;
/** The host's: each ends with HLT. VMRESUME goes on at the bench's exit handler. */
const HOST_CODE = {
  resume: { at: 0x100, bytes: [0x0f, 0x01, 0xc3, 0xf4] },
  INVEPT: { at: 0x110, bytes: [0x66, 0x0f, 0x38, 0x80, 0x04, 0x25, 0, 0xc0, 0, 0, 0xf4] }, // invept rax, [c000h]
  INVVPID: { at: 0x120, bytes: [0x66, 0x0f, 0x38, 0x81, 0x04, 0x25, 0, 0xc0, 0, 0, 0xf4] }, // invvpid rax, [c000h]
} as const;
const CR0_BITS = { fixed: 0x80000033, WP: 1 << 16 } as const;
const CR4_BITS = { PSE: 1 << 4, PAE: 1 << 5, VMXE: 1 << 13, SMEP: 1 << 20, SMAP: 1 << 21 } as const;
const EFER_BITS = { LME: 1 << 8, LMA: 1 << 10, NXE: 1 << 11 } as const;
const PAGE_FAULT = 14;
const WRITTEN = 0x1234n;
/** The guest-physical address that `loadPdptes` loads from: that of the tested bytes. */
export const PDPTES = guestAddress('page') + (PAGE & 0xfffn);

export class NestedBench implements Tables {
  readonly bench: VmxBench;
  readonly executeOnly: boolean;
  readonly page1GB: boolean;
  /** Without the control, NXE of the guest is the host's, which is 1. */
  private readonly loadsEfer: boolean;
  readonly tables: NestedTables;

  constructor(profile: ProfileName) {
    this.bench = new VmxBench(profile);
    this.executeOnly = this.page1GB = this.loadsEfer = profile === 'modern-1';
    this.bench.reset().secondary(SECONDARY.ENABLE_EPT | SECONDARY.ENABLE_VPID);
    this.tables = new NestedTables((address, value, width) => this.put(address, value, width));
    this.prepare();
  }

  read(address: bigint): bigint {
    const host = this.bench.memory.host(Number(address));
    return host < 0 ? 0xffff_ffff_ffff_ffffn : this.bench.memory.view.getBigUint64(host, true);
  }
  private put(address: bigint | number, value: bigint, width: 4 | 8 = 8): void {
    const bytes = Array.from({ length: width }, (_, n) => Number((value >> BigInt(8 * n)) & 0xffn));
    this.bench.poke(Number(address), bytes);
  }

  /** What the reference needs to know. */
  describe(one: NestedCase): { paging: Paging; ept: Ept } {
    const paging = pagingOf(one);
    return {
      paging: { ...paging, NXE: paging.NXE || !this.loadsEfer },
      ept: eptOf(one, this.executeOnly, this.page1GB),
    };
  }

  /** Enters the guest for the access of a case; gives the exit in the reference's terms. */
  access(one: NestedCase): string {
    const { bench } = this;
    this.guestState(one);
    bench.set('VM_EXIT_REASON', 0xffff);
    this.host('resume');
    const { reason } = bench;
    const rip = bench.get64('GUEST_RIP');
    const linear = linearOf(one.kind);
    const start = this.ripOf(one);
    if (reason === 'CPUID') {
      const after = one.what === 'fetch' ? linear : start + BigInt(codeOf(one).bytes.length - 2);
      if (rip !== after) throw new Error(`CPUID at ${rip.toString(16)}, not ${after.toString(16)}`);
      return `ok ${this.effect(one)}`;
    }
    if (rip !== start) throw new Error(`${reason} at ${rip.toString(16)}, not ${start.toString(16)}`);
    if (reason === 'EXCEPTION_NMI') return this.exception(linear);
    const address = bench.get64('GUEST_PHYSICAL_ADDRESS').toString(16);
    if (reason === 'EPT_MISCONFIG') return `misconfiguration ${address}`;
    if (reason !== 'EPT_VIOLATION') return reason;
    const qualification = bench.get('EXIT_QUALIFICATION');
    if (bench.get64('GUEST_LINEAR_ADDRESS') !== linear) return `violation at another linear address`;
    return `violation ${address} ${qualification.toString(16)}`;
  }

  private exception(linear: bigint): string {
    const { bench } = this;
    const vector = bench.get('VM_EXIT_INTR_INFO') & 0xff;
    if (vector !== PAGE_FAULT) return `exception ${vector}`;
    const qualification = bench.get64('EXIT_QUALIFICATION');
    if (qualification !== linear) return `#PF at ${qualification.toString(16)}`;
    return `#PF ${bench.get('VM_EXIT_INTR_ERROR_CODE')}`;
  }

  /** What the access did: the value read, or what lies in the page after a write. */
  private effect(one: NestedCase): string {
    const mask = one.kind === '4-level' ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn;
    return ((one.what === 'read' ? this.bench.cpu.reg64(0) : this.read(PAGE)) & mask).toString(16);
  }
  /** The same, as it should be for an access that ends at `physical`; undefined: it cannot be tried there. */
  expectedEffect(one: NestedCase, physical: bigint): string | undefined {
    const mask = one.kind === '4-level' ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn;
    if (physical !== PAGE && one.what !== 'read') return undefined;
    if (this.bench.memory.host(Number(physical)) < 0 || this.tables.places.includes(physical & ~7n)) return undefined;
    const value = (this.read(physical & ~7n) >> ((physical & 7n) * 8n)) & mask;
    return (one.what === 'write' ? WRITTEN : value).toString(16);
  }

  /** MOV to CR3 in a guest with PAE paging: the four PDPTEs lie in the tested page. Gives the exit, and where it says. */
  loadPdptes(one: NestedCase): string {
    const { bench } = this;
    this.tables.write(one);
    [BigInt(AT.guestDirectory | 1), 0n, 0n, 0n].forEach((value, n) => this.put(PAGE + BigInt(8 * n), value));
    this.guestState(one);
    bench.set('GUEST_RIP', KERNEL_CODE + CODE.movCr3.at);
    bench.cpu.setReg64(0, PDPTES);
    bench.set('VM_EXIT_REASON', 0xffff);
    this.host('resume');
    if (bench.reason !== 'EPT_VIOLATION') return bench.reason;
    const qualification = bench.get('EXIT_QUALIFICATION').toString(16);
    return `violation ${bench.get64('GUEST_PHYSICAL_ADDRESS').toString(16)} ${qualification}`;
  }
  /** INVEPT or INVVPID, executed by the host; the descriptor's first 8 bytes. */
  invalidate(instruction: 'INVEPT' | 'INVVPID', type: number, descriptor: bigint, linear = 0n): void {
    const { bench } = this;
    bench.cpu.setReg64(0, BigInt(type));
    this.put(BENCH.operand, descriptor);
    this.put(BENCH.operand + 8, BigInt.asUintN(64, linear));
    this.host(instruction);
    if (bench.outcome !== 'VMsucceed') throw new Error(`${instruction}: ${bench.outcome}`);
  }
  get eptp(): bigint {
    return this.bench.get64('EPT_POINTER');
  }

  // --- state -----------------------------------------------------------------------------------------------------

  private host(code: keyof typeof HOST_CODE): void {
    const { bench } = this;
    bench.cpu.rip = BENCH.hostCode + HOST_CODE[code].at;
    bench.cpu.set32(STATE.activity, 0);
    bench.run();
  }

  private ripOf(one: NestedCase): bigint {
    if (one.what === 'fetch') return linearOf(one.kind);
    return BigInt((one.by === 'user' ? USER_CODE : KERNEL_CODE) + codeOf(one).at);
  }

  private guestState(one: NestedCase): void {
    const { bench } = this;
    const { paging } = one;
    const long = one.kind === '4-level';
    const user = one.by === 'user';
    if (one.what !== 'fetch') this.codeTables(one.kind);
    const set = (on: boolean, bits: number): number => (on ? bits : 0);
    const loadsEfer = set(this.loadsEfer, ENTRY.LOAD_IA32_EFER);
    const controls = bench.get('VM_ENTRY_CONTROLS') & ~ENTRY.IA32E_MODE_GUEST;
    const rights = (user ? 0x60 : 0) | 0x93;
    // prettier-ignore
    const fields: Partial<Record<FieldName, number>> = {
      VM_ENTRY_CONTROLS: controls | loadsEfer | set(long, ENTRY.IA32E_MODE_GUEST),
      GUEST_CR0: (CR0_BITS.fixed | set(paging.WP, CR0_BITS.WP)) >>> 0,
      GUEST_CR4: CR4_BITS.VMXE | set(one.kind !== '32-bit', CR4_BITS.PAE) | set(paging.PSE, CR4_BITS.PSE) | set(paging.SMEP, CR4_BITS.SMEP) | set(paging.SMAP, CR4_BITS.SMAP),
      GUEST_IA32_EFER: set(long, EFER_BITS.LME | EFER_BITS.LMA) | set(paging.NXE, EFER_BITS.NXE),
      GUEST_CS_AR_BYTES: rights | 0xb | (long ? 0xa000 : 0xc000),
      GUEST_SS_AR_BYTES: rights | 0xc000, GUEST_DS_AR_BYTES: rights | 0xc000, GUEST_ES_AR_BYTES: rights | 0xc000,
      GUEST_DS_LIMIT: 0xffffffff, GUEST_ES_LIMIT: 0xffffffff,
      GUEST_CS_SELECTOR: user ? 0x1b : 8, GUEST_SS_SELECTOR: user ? 0x23 : 0x10,
      GUEST_DS_SELECTOR: user ? 0x23 : 0x10, GUEST_ES_SELECTOR: user ? 0x23 : 0x10,
      GUEST_RFLAGS: one.by === 'supervisor AC' ? 0x40002 : 2,
      EXCEPTION_BITMAP: -1 >>> 0, EPT_POINTER: AT.eptRoot | 0x1e | (one.accessedDirty ? 0x40 : 0),
    };
    for (const [name, value] of Object.entries(fields)) bench.set(name as FieldName, value);
    const wide = (name: FieldName, value: bigint): void =>
      void bench.set(name, Number(value & 0xffff_ffffn), Number(value >> 32n));
    wide('GUEST_CR3', rootOf(one));
    wide('GUEST_RIP', this.ripOf(one));
    if (one.kind === 'PAE') pdptesOf().forEach((value, n) => wide(`GUEST_PDPTR${n}` as FieldName, value));
    bench.cpu.setReg64(0, 0n);
    bench.cpu.setReg64(1, WRITTEN);
    bench.cpu.setReg64(3, linearOf(one.kind));
  }

  /** The guest's code, one to one; the user's page apart. All flags set, so that only the tested tables change. */
  private codeTables(kind: Kind): void {
    const width = kind === '32-bit' ? 4 : 8;
    for (const page of [KERNEL_CODE, USER_CODE])
      this.put(AT.guestTable + (page >> 12) * width, BigInt(page | (page === USER_CODE ? 0x67 : 0x63)), width);
    const link = (address: number): bigint => BigInt(address | 0x67);
    if (kind === '4-level') {
      this.put(AT.guestRoot, link(AT.guestPointers));
      this.put(AT.guestPointers, link(AT.guestDirectory));
    }
    this.put(kind === '32-bit' ? AT.guestRoot : AT.guestDirectory, link(AT.guestTable), width);
  }

  private prepare(): void {
    const { bench } = this;
    // So that VMRESUME is right from the first case on.
    bench.set('EPT_POINTER', AT.eptRoot | 0x1e);
    bench.launch('0f a2');
    for (const { at, bytes } of Object.values(CODE))
      for (const page of [KERNEL_CODE, USER_CODE]) bench.poke(page + at, bytes);
    for (const { at, bytes } of Object.values(HOST_CODE)) bench.poke(BENCH.hostCode + at, bytes);
  }
}

/** In the guest's own pages; a tested fetch runs the first bytes of the tested page. */
function codeOf(one: NestedCase): { readonly at: number; readonly bytes: readonly number[] } {
  if (one.what === 'fetch') return CODE.first;
  if (one.kind === '4-level') return CODE[one.what];
  return one.what === 'read' ? CODE.read32 : CODE.write32;
}
