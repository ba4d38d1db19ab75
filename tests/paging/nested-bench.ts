// SPDX-License-Identifier: Apache-2.0
import { ENTRY, SECONDARY } from '../../src/arch/vmx/controls.ts';
import type { FieldName } from '../../src/arch/vmx/fields.ts';
import type { ProfileName } from '../../src/arch/vmx/profiles.ts';
import { STATE } from '../../src/machine/cpu/state.ts';
import { AT as BENCH, VmxBench } from '../../src/machine/vtx/vmx-bench.test.ts';
import { ROLES } from './ept-cases.ts';
import type { EptWay, NestedCase, Role } from './ept-cases.ts';
import type { Kind } from './cases.ts';
import type { Ept, Paging, Tables } from './reference.ts';

/** A guest in VMX non-root operation that makes one access; its host writes both dimensions of tables. */

// prettier-ignore
const AT = {
  guestRoot: 0x80000, guestPointers: 0x81000, guestDirectory: 0x82000, guestTable: 0x83000,
  eptRoot: 0x84000, eptPointers: 0x85000, eptCode: 0x86000,
  /** A directory and a table for each tested guest-physical page. */
  eptWays: 0x88000,
  kernelCode: BENCH.guestCode, userCode: BENCH.guestCode + 0x1000,
  /** Tested pages in the machine's memory, 4 KBytes each. */
  pages: 0x340000,
} as const;
const GIBIBYTE = 1n << 30n;
const OFFSET = 0x100n;

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
/** CPUID, and more for those who read it. */
const CONTENT = 0x1122_3344_a20fn;

/** The machine's memory: both dimensions of tables end there. */
const machineAddress = (role: Role): bigint => BigInt(AT.pages + 0x1000 * ROLES.indexOf(role));
const PAGE = machineAddress('page') + OFFSET;
/** Each tested page has a gibibyte of its own; the bits below are those of the machine address, for all page sizes. */
const guestAddress = (role: Role): bigint => (BigInt(ROLES.indexOf(role)) + 1n) * GIBIBYTE + machineAddress(role);
/** The level whose entries a table holds, by the lowest bit of their index. */
const ROLE_BY_LOW: Readonly<Record<string, Role>> = {
  12: 'table',
  21: 'directory',
  22: 'directory',
  30: 'pointers',
  39: 'root',
};
const LOWS: Readonly<Record<Kind, readonly bigint[]>> = {
  '4-level': [39n, 30n, 21n, 12n],
  PAE: [21n, 12n],
  '32-bit': [22n, 12n],
};
const LINEAR_BASE: Readonly<Record<Kind, bigint>> = {
  '4-level': (5n << 39n) | (2n << 30n),
  PAE: 3n << 30n,
  '32-bit': 3n << 30n,
};

export class NestedBench implements Tables {
  readonly bench: VmxBench;
  readonly executeOnly: boolean;
  readonly page1GB: boolean;
  /** Without the control, NXE of the guest is the host's, which is 1. */
  private readonly loadsEfer: boolean;
  /** Places of the tested entries in machine memory: of the way to each page, and of the guest's. */
  ways: readonly (readonly bigint[])[] = [];
  guest: readonly bigint[] = [];

  constructor(profile: ProfileName) {
    this.bench = new VmxBench(profile);
    this.executeOnly = this.page1GB = this.loadsEfer = profile === 'modern-1';
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

  linearOf(kind: Kind): bigint {
    return LINEAR_BASE[kind] + PAGE;
  }

  /** Fetches have a root of their own, and nothing else of the guest is executed; PAE paging has no root in memory. */
  private ownRoot(one: NestedCase): boolean {
    return one.what === 'fetch' && one.kind !== 'PAE';
  }

  /** Writes both dimensions, and the page. */
  write(one: NestedCase): void {
    this.ways = ROLES.map((role, n) => this.writeWay(one.ways[role], role, n));
    this.writeGuestOnly(one);
  }

  /** Leaves the second dimension as it is, flags and all. */
  writeGuestOnly(one: NestedCase): void {
    this.guest = this.writeGuest(one);
    this.put(PAGE, CONTENT);
  }

  /** Places of all tested entries. */
  get places(): readonly bigint[] {
    return [...this.ways.flat(), ...this.guest];
  }

  /** What the reference needs to know. */
  describe(one: NestedCase): { paging: Paging; ept: Ept } {
    const root = this.rootOf(one);
    const pdptes = [BigInt(AT.guestDirectory | 1), 0n, 0n, guestAddress('directory') | 1n];
    return {
      paging: { ...one.paging, NXE: one.paging.NXE || !this.loadsEfer, cr3: root, pdptes },
      ept: {
        root: BigInt(AT.eptRoot),
        accessedDirty: one.accessedDirty,
        executeOnly: this.executeOnly,
        page1GB: this.page1GB,
      },
    };
  }

  private rootOf(one: NestedCase): bigint {
    if (!this.ownRoot(one)) return BigInt(AT.guestRoot);
    return guestAddress(one.kind === '4-level' ? 'root' : 'directory');
  }

  private writeGuest(one: NestedCase): bigint[] {
    const width = one.kind === '32-bit' ? 4 : 8;
    const linear = this.linearOf(one.kind);
    const lows = LOWS[one.kind];
    return one.entries.map((flags, n) => {
      const commonRoot = n === 0 && one.kind !== 'PAE' && !this.ownRoot(one);
      const table = commonRoot ? BigInt(AT.guestRoot) : machineAddress(ROLE_BY_LOW[Number(lows[n])]);
      const index = (linear >> lows[n]) & (width === 8 ? 0x1ffn : 0x3ffn);
      const place = table + index * BigInt(width);
      const leaf = n === one.entries.length - 1;
      const next = leaf ? (guestAddress('page') >> lows[n]) << lows[n] : guestAddress(ROLE_BY_LOW[Number(lows[n + 1])]);
      this.put(place, flags ^ next, width);
      return place & ~7n;
    });
  }

  private writeWay(way: EptWay, role: Role, n: number): bigint[] {
    const address = guestAddress(role);
    const directory = BigInt(AT.eptWays + n * 0x2000);
    const tables = [BigInt(AT.eptPointers), directory, directory + 0x1000n];
    return way.entries.map((flags, level) => {
      const low = BigInt(30 - 9 * level);
      const place = tables[level] + ((address >> low) & 0x1ffn) * 8n;
      const leaf = level === way.entries.length - 1;
      this.put(place, flags ^ (leaf ? (machineAddress(role) >> low) << low : tables[level + 1]));
      return place;
    });
  }

  /** Enters the guest for the access of a case; gives the exit in the reference's terms. */
  access(one: NestedCase): string {
    const { bench } = this;
    this.guestState(one);
    bench.set('VM_EXIT_REASON', 0xffff);
    this.host('resume');
    const { reason } = bench;
    const rip = bench.get64('GUEST_RIP');
    const linear = this.linearOf(one.kind);
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
    if (this.bench.memory.host(Number(physical)) < 0 || this.places.includes(physical & ~7n)) return undefined;
    const value = (this.read(physical & ~7n) >> ((physical & 7n) * 8n)) & mask;
    return (one.what === 'write' ? WRITTEN : value).toString(16);
  }

  /** MOV to CR3 in a guest with PAE paging: the four PDPTEs lie in the tested page. Gives the exit, and where it says. */
  loadPdptes(one: NestedCase): string {
    const { bench } = this;
    this.write(one);
    [BigInt(AT.guestDirectory | 1), 0n, 0n, 0n].forEach((value, n) => this.put(PAGE + BigInt(8 * n), value));
    this.guestState(one);
    bench.set('GUEST_RIP', AT.kernelCode + CODE.movCr3.at);
    bench.cpu.setReg64(0, guestAddress('page') + OFFSET);
    bench.set('VM_EXIT_REASON', 0xffff);
    this.host('resume');
    if (bench.reason !== 'EPT_VIOLATION') return bench.reason;
    const qualification = bench.get('EXIT_QUALIFICATION').toString(16);
    return `violation ${bench.get64('GUEST_PHYSICAL_ADDRESS').toString(16)} ${qualification}`;
  }
  /** The address that `loadPdptes` loads from. */
  get pdpteAddress(): bigint {
    return guestAddress('page') + OFFSET;
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
    if (one.what === 'fetch') return this.linearOf(one.kind);
    return BigInt((one.by === 'user' ? AT.userCode : AT.kernelCode) + codeOf(one).at);
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
    const root = this.rootOf(one);
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
    wide('GUEST_CR3', root);
    wide('GUEST_RIP', this.ripOf(one));
    if (one.kind === 'PAE') {
      const pdptes = [BigInt(AT.guestDirectory | 1), 0n, 0n, guestAddress('directory') | 1n];
      pdptes.forEach((value, n) => wide(`GUEST_PDPTR${n}` as FieldName, value));
    }
    bench.cpu.setReg64(0, 0n);
    bench.cpu.setReg64(1, WRITTEN);
    bench.cpu.setReg64(3, this.linearOf(one.kind));
  }

  /** The guest's code, one to one; the user's page apart. All flags set, so that only the tested tables change. */
  private codeTables(kind: Kind): void {
    const width = kind === '32-bit' ? 4 : 8;
    for (const page of [AT.kernelCode, AT.userCode])
      this.put(AT.guestTable + (page >> 12) * width, BigInt(page | (page === AT.userCode ? 0x67 : 0x63)), width);
    const link = (address: number): bigint => BigInt(address | 0x67);
    if (kind === '4-level') {
      this.put(AT.guestRoot, link(AT.guestPointers));
      this.put(AT.guestPointers, link(AT.guestDirectory));
    }
    this.put(kind === '32-bit' ? AT.guestRoot : AT.guestDirectory, link(AT.guestTable), width);
  }

  private prepare(): void {
    const { bench } = this;
    bench.reset().secondary(SECONDARY.ENABLE_EPT | SECONDARY.ENABLE_VPID);
    // The code and the common tables: 2-MByte pages, one to one, with their flags set.
    this.put(AT.eptRoot, BigInt(AT.eptPointers | 0x107));
    this.put(AT.eptPointers, BigInt(AT.eptCode | 0x107));
    this.put(AT.eptCode, 0x3b7n);
    // So that VMRESUME is right from the first case on.
    bench.set('EPT_POINTER', AT.eptRoot | 0x1e);
    bench.launch('0f a2');
    for (const { at, bytes } of Object.values(CODE))
      for (const page of [AT.kernelCode, AT.userCode]) bench.poke(page + at, bytes);
    for (const { at, bytes } of Object.values(HOST_CODE)) bench.poke(BENCH.hostCode + at, bytes);
  }
}

/** In the guest's own pages; a tested fetch runs the first bytes of the tested page. */
function codeOf(one: NestedCase): { readonly at: number; readonly bytes: readonly number[] } {
  if (one.what === 'fetch') return CODE.first;
  if (one.kind === '4-level') return CODE[one.what];
  return one.what === 'read' ? CODE.read32 : CODE.write32;
}
