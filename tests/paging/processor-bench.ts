// SPDX-License-Identifier: Apache-2.0
import type { JitMode } from '../../src/machine/cpu/jit/jit.ts';
import { CR0, CR4, EFER } from '../../src/machine/cpu/processor.ts';
import { CS, DS, ES, FS, GS, LDTR, SS, STATE, TR } from '../../src/machine/cpu/state.ts';
import { Bench } from '../machine/bench.ts';
import type { Case, Kind } from './cases.ts';
import type { Paging, Tables } from './reference.ts';

/** A whole PC that makes one access to one linear address, at either privilege, in any of the three kinds of paging. */

// prettier-ignore
const AT = {
  root: 0x1000, second: 0x2000, third: 0x3000, fourth: 0x4000, gdt: 0x6000, idt: 0x7000, tss: 0x8000,
  /** 16 bytes for each vector. */
  handlers: 0x12000, stack: 0x3f000, userStack: 0x3e000,
  kernelCode: 0x10000, userCode: 0x11000,
  /** Tables of the address that is tested; two sets, so that one can be changed for the other. */
  tested: 0x20000,
} as const;
const HLT = 0xf4;
const SELECTORS = { CS0: 8, SS0: 0x10, CS3: 0x1b, SS3: 0x23 } as const;
const VECTOR = { undefined: 6, pageFault: 14 } as const;

/** The tested address lies where nothing else does. */
// prettier-ignore
const LINEAR: Readonly<Record<Kind, { base: bigint; rootIndex: number; lows: readonly bigint[] }>> = {
  '4-level': { base: 3n << 39n, rootIndex: 3,     lows: [39n, 30n, 21n, 12n] },
  PAE:       { base: 3n << 30n, rootIndex: 0,     lows: [21n, 12n] },
  '32-bit':  { base: 3n << 30n, rootIndex: 0x300, lows: [22n, 12n] },
};
/** Where in the page the access goes: a descriptor's index, and 8 bytes that cross nothing. */
const OFFSET = 0x100n;

/** Fragments, at the same offset in the kernel's and the user's page; each ends with UD2. EBX is the address. */
// prettier-ignore
const FRAGMENTS: Readonly<Record<string, readonly [number, string]>> = {
  read:     [0x000, '8b 03 0f 0b            ; mov eax, [ebx]'],
  write:    [0x040, '89 0b 0f 0b            ; mov [ebx], ecx'],
  modify:   [0x080, '01 0b 0f 0b            ; add [ebx], ecx'],
  fetch:    [0x0c0, 'ff e3                  ; jmp ebx'],
  descriptor: [0x100, '8e e0 0f 0b          ; mov fs, eax'],
  invlpg:   [0x140, '0f 01 3b 0f 0b         ; invlpg [ebx]'],
  flush:    [0x180, '0f 20 d8 0f 22 d8 0f 0b ; mov eax, cr3; mov cr3, eax'],
  stack:    [0x1c0, '89 4d 00 0f 0b         ; mov [ebp], ecx'],
};
export type Fragment = keyof typeof FRAGMENTS;

const bytesOf = (text: string): number[] =>
  text
    .replace(/;.*/, '')
    .trim()
    .split(' ')
    .map((byte) => parseInt(byte, 16));

interface Registers {
  readonly eax?: number;
  readonly ecx?: number;
  readonly ebx?: bigint;
}

export class ProcessorBench implements Tables {
  readonly kind: Kind;
  private readonly bench: Bench;
  /** Indices that the tested address selects at each level, and the address. */
  readonly linear: bigint;

  constructor(kind: Kind, page1GB: boolean, jit: JitMode) {
    this.kind = kind;
    this.bench = new Bench({ code: {}, jit, cpuFeatures: page1GB ? [] : ['-pdpe1gb'] });
    this.linear = LINEAR[kind].base + OFFSET;
    this.layOut();
  }

  read(address: bigint): bigint {
    const bytes = new Uint8Array(8);
    this.bench.pc.machine.memory.read(Number(address), bytes);
    return new DataView(bytes.buffer).getBigUint64(0, true);
  }
  poke(address: number, bytes: readonly number[]): void {
    this.bench.pc.machine.memory.write(address, Uint8Array.from(bytes));
  }
  /** `width` bytes, 4 or 8. */
  private put(address: number, value: bigint, width: number): void {
    this.poke(
      address,
      Array.from({ length: width }, (_, n) => Number((value >> BigInt(8 * n)) & 0xffn)),
    );
  }

  /** Writes tables of a case, the page at `base`; gives the 8-byte places of the entries. */
  writeTables(one: Case, base: bigint): readonly bigint[] {
    const width = this.kind === '32-bit' ? 4 : 8;
    const { rootIndex, lows } = LINEAR[this.kind];
    this.writtenPlaces = one.entries.map((flags, n) => {
      const root = this.kind === 'PAE' ? AT.tested : AT.root;
      const table = n === 0 ? root : AT.tested + n * 0x1000;
      const index = n === 0 ? rootIndex : Number((this.linear >> lows[n]) & 0x1ffn);
      const place = table + index * width;
      const next = n === one.entries.length - 1 ? base : BigInt(AT.tested + (n + 1) * 0x1000);
      this.put(place, flags ^ next, width);
      return BigInt(place & ~7);
    });
    return this.writtenPlaces;
  }

  /** Places of the tables written last. */
  writtenPlaces: readonly bigint[] = [];

  /** Physical address of the tested bytes in a page. In a 1-GByte page they are far from the code. */
  dataAt(page: bigint): number {
    return Number(page + (this.linear % 0x20_0000n));
  }

  /** What the reference needs to know of the paging that `enter` sets up. */
  pagingOf(one: Case): Paging {
    const pdptes = [BigInt(AT.second | 1), 0n, 0n, BigInt(AT.tested | 1)];
    return { ...one.paging, cr3: BigInt(AT.root), pdptes };
  }

  /** Modes and privilege for one access; RFLAGS.AC is set where it must not help, too. */
  enter(one: Case, user: boolean, alignmentCheck: boolean): void {
    const { cpu, unit } = this.bench;
    const { paging } = one;
    const long = this.kind === '4-level';
    cpu.set32(STATE.cr0, CR0.PE | CR0.ET | CR0.NE | CR0.PG | (paging.WP ? CR0.WP : 0));
    const set = (on: boolean, bit: number): number => (on ? bit : 0);
    cpu.set32(
      STATE.cr4,
      set(this.kind !== '32-bit', CR4.PAE) |
        set(paging.PSE, CR4.PSE) |
        set(paging.SMEP, CR4.SMEP) |
        set(paging.SMAP, CR4.SMAP),
    );
    cpu.set32(STATE.efer, set(long, EFER.LME | EFER.LMA) | set(paging.NXE, EFER.NXE));
    cpu.set64(STATE.cr3, BigInt(AT.root));
    this.setSegments(user, long);
    cpu.set32(STATE.cpl, user ? 3 : 0);
    cpu.setReg64(4, BigInt(user ? AT.userStack : AT.stack));
    cpu.rflags = alignmentCheck ? 0x40002 : 2;
    if (this.kind === 'PAE') this.setPdptes(one);
    unit.activate();
    cpu.modeChanged();
    cpu.mmu.pagingChanged();
  }

  forgetTranslations(): void {
    this.bench.cpu.mmu.forgetAll();
  }

  /** Runs a fragment; gives `ok`, `#PF errorCode` or `#vector errorCode`. A wrong CR2 or saved RIP throws. */
  run(fragment: Fragment, user: boolean, registers: Registers = {}): string {
    const { cpu } = this.bench;
    const { eax = 0, ecx = 0, ebx = this.linear } = registers;
    const start = (user ? AT.userCode : AT.kernelCode) + FRAGMENTS[fragment][0];
    [BigInt(eax), BigInt(ecx), 0n, ebx, cpu.reg64(4), ebx].forEach((value, n) =>
      cpu.setReg64(n, BigInt.asUintN(64, value)),
    );
    cpu.set64(STATE.cr2, 0n);
    this.bench.goTo(start);
    const end = this.bench.run(40);
    const vector = (cpu.rip - 1 - AT.handlers) / 16;
    if (end !== 'idle' || !Number.isInteger(vector)) throw new Error(`${fragment}: ${end} at ${cpu.rip.toString(16)}`);
    const after = BigInt(start + bytesOf(FRAGMENTS[fragment][1]).length - 2);
    if (vector === VECTOR.undefined) return this.stoppedAt(0, fragment === 'fetch' ? ebx + 2n : after, 'ok');
    // A jump to an address that is not canonical faults before it is made; a fetch faults after it.
    const rip = fragment === 'fetch' && vector === VECTOR.pageFault ? ebx : BigInt(start);
    const text = vector === VECTOR.pageFault ? '#PF' : `#${vector}`;
    if (vector === VECTOR.pageFault) this.checkCr2(fragment, ebx);
    return this.stoppedAt(1, rip, `${text} ${this.onStack(0)}`);
  }

  /** The address that faulted. Setting the accessed bit of a descriptor writes its sixth byte, or the four around it. */
  private checkCr2(fragment: Fragment, linear: bigint): void {
    const cr2 = this.bench.cpu.get64(STATE.cr2);
    const last = fragment === 'descriptor' ? 7n : 0n;
    if (cr2 < linear || cr2 > linear + last)
      throw new Error(`${fragment}: CR2 ${cr2.toString(16)}, not ${linear.toString(16)}`);
  }

  private onStack(n: number): bigint {
    const long = this.kind === '4-level';
    const stack = BigInt.asUintN(long ? 64 : 32, this.bench.cpu.reg64(4));
    const value = this.read(stack + BigInt(n * (long ? 8 : 4)));
    return long ? value : value & 0xffff_ffffn;
  }

  private stoppedAt(n: number, expected: bigint, text: string): string {
    const rip = this.onStack(n);
    if (rip !== BigInt.asUintN(64, expected))
      throw new Error(`${text}: saved RIP ${rip.toString(16)}, not ${expected.toString(16)}`);
    return text;
  }

  /** What the last `read` fragment got. */
  get eax(): number {
    return this.bench.cpu.reg32(0);
  }

  get fsBase(): number {
    return this.bench.cpu.segmentBase(FS);
  }

  // --- once ------------------------------------------------------------------------------------------------------

  private layOut(): void {
    const long = this.kind === '4-level';
    for (const page of [AT.kernelCode, AT.userCode])
      for (const [at, text] of Object.values(FRAGMENTS)) this.poke(page + at, bytesOf(text));
    // In 64-bit mode the same bytes use RBX as an address; INVLPG, JMP, MOV to CR3 and PUSH have 64-bit operands.
    for (let vector = 0; vector < 32; vector++) {
      this.poke(AT.handlers + vector * 16, [HLT]);
      this.setGate(vector, AT.handlers + vector * 16, long);
    }
    const code = long ? 0x00af9b000000ffffn : 0x00cf9b000000ffffn;
    const user = 0x6000n << 32n;
    [0n, code, 0x00cf93000000ffffn, code | user, 0x00cf93000000ffffn | user].forEach((value, n) =>
      this.put(AT.gdt + 8 * n, value, 8),
    );
    this.put(AT.tss + 4, BigInt(AT.stack), 8);
    if (!long) this.put(AT.tss + 8, BigInt(SELECTORS.SS0), 4);
    this.mapCode();
  }

  /** The first 4 MBytes one to one for the supervisor, but for the user's page. All flags are set already. */
  private mapCode(): void {
    const page = (n: number): bigint => BigInt((n << 12) | (n << 12 === AT.userCode ? 0x67 : 0x63));
    const link = (table: number): bigint => BigInt(table | 0x67);
    const width = this.kind === '32-bit' ? 4 : 8;
    const count = this.kind === '32-bit' ? 1024 : 512;
    const last = this.kind === '4-level' ? AT.fourth : this.kind === 'PAE' ? AT.third : AT.second;
    for (let n = 0; n < count; n++) this.put(last + n * width, page(n), width);
    if (this.kind === '4-level') {
      this.put(AT.root, link(AT.second), 8);
      this.put(AT.second, link(AT.third), 8);
      this.put(AT.third, link(AT.fourth), 8);
    } else if (this.kind === 'PAE') {
      this.put(AT.root, BigInt(AT.second | 1), 8);
      this.put(AT.root + 24, BigInt(AT.tested | 1), 8);
      this.put(AT.second, link(AT.third), 8);
    } else this.put(AT.root, link(AT.second), 4);
  }

  private setGate(vector: number, handler: number, long: boolean): void {
    const low = BigInt(handler & 0xffff) | (BigInt(SELECTORS.CS0) << 16n) | (0x8en << 40n);
    const gate = low | (BigInt(handler >>> 16) << 48n);
    this.put(AT.idt + vector * (long ? 16 : 8), gate, 8);
    if (long) this.put(AT.idt + vector * 16 + 8, 0n, 8);
  }

  private setSegments(user: boolean, long: boolean): void {
    const { cpu } = this.bench;
    const dpl = user ? 0x60 : 0;
    cpu.setSegment(CS, user ? SELECTORS.CS3 : SELECTORS.CS0, 0, 0xffffffff, (long ? 0xa09b : 0xc09b) | dpl);
    for (const segment of [SS, DS, ES, FS, GS])
      cpu.setSegment(segment, user ? SELECTORS.SS3 : SELECTORS.SS0, 0, 0xffffffff, 0xc093 | dpl);
    cpu.setSegment(TR, 0x28, AT.tss, 0x67, 0x8b);
    // A descriptor of this table lies at the tested address.
    cpu.setSegment(LDTR, 0x30, Number(this.linear - OFFSET), 0xfff, 0x82);
    cpu.set64(STATE.gdtrBase, BigInt(AT.gdt));
    cpu.set32(STATE.gdtrLimit, 0x27);
    cpu.set64(STATE.idtrBase, BigInt(AT.idt));
    cpu.set32(STATE.idtrLimit, 0xfff);
  }

  private setPdptes(one: Case): void {
    const { cpu } = this.bench;
    this.pagingOf(one).pdptes.forEach((value, n) => {
      cpu.set64(STATE.pdpte0 + 8 * n, value);
      cpu.mmu.paging.pdpte.set([Number(value), 0], n * 2);
    });
  }
}

/** A selector for the descriptor at the tested address: in the LDT, RPL 3. */
export const SELECTOR = Number(OFFSET) | 7;
