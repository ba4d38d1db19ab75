// SPDX-License-Identifier: Apache-2.0
import { strict as assert } from 'node:assert';
import { DecodeStatus, decode } from '../../../decode/decoder.ts';
import { Instruction } from '../../../decode/instruction.ts';
import { Memory } from '../../memory/memory.ts';
import { STATUS } from '../interpreter/record.ts';
import { Processor } from '../processor.ts';
import { CR0, CR4, EFER } from '../register-bits.ts';
import type { ProcessorEnvironment } from '../environment.ts';
import type { PhysicalBus } from '../processor.ts';
import { CS, DS, ES, FS, GS, LDTR, RSP, SS, STATE, TR } from '../state.ts';
import { DECIMAL_MICROCODE } from './decimal.ts';
import { DESCRIPTOR_MICROCODE } from './descriptor-instructions.ts';
import { FAR_TRANSFER_MICROCODE } from './far-transfer.ts';
import { raiseException } from './interrupt-delivery.ts';
import type { Delivery } from './interrupt-delivery.ts';
import { IRET_MICROCODE } from './iret.ts';
import { NEAR_TRANSFER_MICROCODE } from './near-transfer.ts';
import { RETURN_FAR_MICROCODE } from './return-far.ts';
import { Routines } from './routines.ts';
import { SEGMENT_REGISTER_MICROCODE } from './segment-registers.ts';
import { SOFTWARE_INTERRUPT_MICROCODE } from './software-interrupts.ts';
import { STACK_MICROCODE } from './stack.ts';
import { STRING_MICROCODE } from './strings.ts';
import { SYSCALL_MICROCODE } from './syscall.ts';

/** For the tests beside it: a processor with descriptor tables in memory that executes single microcoded instructions. */
export type BenchMode = 'real' | 'protected' | 'long';

/** Linear (and physical) addresses of what the bench puts into memory. */
// prettier-ignore
export const AT = {
  gdt: 0x1000, idt: 0x2000, ldt: 0x3000, tss: 0x4000, tss2: 0x5000, tss16: 0x5800, code: 0x10000, data: 0x20000,
  stack0: 0x30000, stack3: 0x40000, ist: 0x50000, handler: 0x60000, pageTables: 0x100000,
} as const;

/** Selectors of the bench's GDT. Code and data of level 3 carry RPL 3. */
// prettier-ignore
export const SELECTOR = {
  code0: 0x08, data0: 0x10, code3: 0x1b, data3: 0x23, code64: 0x28, userCode64: 0x33, tss: 0x38, ldt: 0x48, tss2: 0x58,
  conforming: 0x60, free: 0x68, free2: 0x70, absent: 0x78, absentData: 0x80, readOnly: 0x88, executeOnly: 0x90, code16: 0x98, data16: 0xa0, tss16: 0xa8,
} as const;

export interface Parts {
  base?: number;
  limit?: number;
  /** Type, and S for code and data (bit 4). */
  type: number;
  dpl?: number;
  absent?: boolean;
  /** G, D/B, L in bits 3..1 as in the descriptor: 8 G, 4 D/B, 2 L. */
  flags?: number;
}

const NO_BUS: PhysicalBus = {
  readMemory: () => 0,
  writeMemory: () => undefined,
  readPort: () => 0,
  writePort: () => undefined,
};

const MNEMONICS = [
  '#DE',
  '#DB',
  '#NMI',
  '#BP',
  '#OF',
  '#BR',
  '#UD',
  '#NM',
  '#DF',
  '#9',
  '#TS',
  '#NP',
  '#SS',
  '#GP',
  '#PF',
  '#15',
  '#MF',
  '#AC',
];
const SETS = [
  DECIMAL_MICROCODE,
  DESCRIPTOR_MICROCODE,
  FAR_TRANSFER_MICROCODE,
  IRET_MICROCODE,
  NEAR_TRANSFER_MICROCODE,
  RETURN_FAR_MICROCODE,
  SEGMENT_REGISTER_MICROCODE,
  SOFTWARE_INTERRUPT_MICROCODE,
  STACK_MICROCODE,
  STRING_MICROCODE,
  SYSCALL_MICROCODE,
];

export class Bench {
  readonly memory = new Memory(1, 16 << 20, 0xb0000000);
  readonly cpu = new Processor(0, this.memory, NO_BUS);
  readonly mode: BenchMode;
  private readonly routines = new Routines(SETS);

  constructor(mode: BenchMode) {
    this.mode = mode;
    const { cpu } = this;
    // No routine here looks at more of its surroundings than whether there is VT-x, paging only for 1-GByte pages, and
    // debug exceptions only for IA32_DEBUGCTL.
    const cpuid = { features: new Set<string>() };
    const msrs = { get: () => 0n };
    cpu.environment = { vmx: undefined, cpuid, msrs } as unknown as ProcessorEnvironment;
    cpu.rflags = 2;
    cpu.set32(STATE.gdtrLimit, 0xff);
    cpu.setSigned(STATE.gdtrBase, AT.gdt);
    cpu.set32(STATE.idtrLimit, 0x7ff);
    cpu.setSigned(STATE.idtrBase, mode === 'real' ? 0 : AT.idt);
    if (mode === 'long') cpu.set32(STATE.idtrLimit, 0xfff);
    this.fillTables();
    if (mode === 'real') this.enterReal();
    else this.enterProtected();
    cpu.mmu.pagingChanged();
    cpu.modeChanged();
  }

  // --- memory by physical address --------------------------------------------------------------------------------

  poke(address: number, size: 1 | 2 | 4, value: number): void {
    const { view } = this.memory;
    const host = this.memory.host(address);
    if (size === 1) view.setUint8(host, value);
    else if (size === 2) view.setUint16(host, value, true);
    else view.setUint32(host, value, true);
  }
  poke64(address: number, value: bigint): void {
    this.memory.view.setBigUint64(this.memory.host(address), BigInt.asUintN(64, value), true);
  }
  peek(address: number, size: 1 | 2 | 4): number {
    const { view } = this.memory;
    const host = this.memory.host(address);
    return size === 1 ? view.getUint8(host) : size === 2 ? view.getUint16(host, true) : view.getUint32(host, true);
  }
  peek64(address: number): bigint {
    return this.memory.view.getBigUint64(this.memory.host(address), true);
  }
  /** Values at rSP and above it, as a signed Number each. */
  stacked(size: 2 | 4 | 8, count: number, top = this.cpu.getSigned(RSP * 8)): number[] {
    return Array.from({ length: count }, (_, i) =>
      size === 8 ? Number(BigInt.asIntN(64, this.peek64(top + i * 8))) : this.peek(top + i * size, size),
    );
  }
  /** Puts values at rSP, the first at the lowest address. */
  stack(size: 2 | 4 | 8, ...values: number[]): void {
    const top = this.cpu.getSigned(RSP * 8);
    values.forEach((value, i) =>
      size === 8 ? this.poke64(top + i * 8, BigInt(value)) : this.poke(top + i * size, size, value),
    );
  }

  // --- descriptors -------------------------------------------------------------------------------------------------

  descriptor(selector: number, parts: Parts, table: number = AT.gdt): void {
    const { base = 0, limit = 0xfffff, type, dpl = 0, absent = false, flags = 0xc } = parts;
    const at = table + (selector & 0xfff8);
    this.poke(at, 4, (limit & 0xffff) | (base << 16));
    this.poke(
      at + 4,
      4,
      ((base >>> 16) & 0xff) |
        (base & 0xff000000) |
        (type << 8) |
        (dpl << 13) |
        (absent ? 0 : 0x8000) |
        (limit & 0xf0000) |
        (flags << 20),
    );
  }
  /** A call, interrupt, trap or task gate of 8 bytes. */
  gate(at: number, type: number, selector: number, offset: number, dpl = 0, low = 0): void {
    this.poke(at, 4, (selector << 16) | (offset & 0xffff));
    this.poke(at + 4, 4, (offset & 0xffff0000) | 0x8000 | (dpl << 13) | (type << 8) | low);
  }
  /** A gate of the IDT as the mode wants it, to a handler at AT.handler + vector * 16. */
  vector(
    vector: number,
    type = 0xe,
    dpl = 0,
    selector: number = this.mode === 'long' ? SELECTOR.code64 : SELECTOR.code0,
    ist = 0,
  ): void {
    const size = this.mode === 'long' ? 16 : 8;
    this.gate(AT.idt + vector * size, type, selector, AT.handler + vector * 16, dpl, ist);
    if (size === 16) this.poke64(AT.idt + vector * 16 + 8, 0n);
  }
  handler(vector: number): number {
    return AT.handler + vector * 16;
  }

  // --- state -------------------------------------------------------------------------------------------------------

  /** Code and stack of a privilege level; 16-, 32- or 64-bit by `code`. */
  level(cpl: 0 | 3, code: number = this.defaultCode(cpl)): void {
    const { cpu } = this;
    cpu.set32(STATE.cpl, cpl);
    const stack = cpl === 3 ? SELECTOR.data3 : SELECTOR.data0;
    const rights = cpl === 3 ? 0xf3 : 0x93;
    const codeRights =
      (cpl === 3 ? 0xfb : 0x9b) | 0x8000 | (code === SELECTOR.code64 || code === SELECTOR.userCode64 ? 0x2000 : 0x4000);
    cpu.setSegment(CS, code, 0, 0xffffffff, codeRights);
    cpu.setSegment(SS, stack, 0, 0xffffffff, rights | 0xc000);
    for (const segment of [ES, DS, FS, GS]) cpu.setSegment(segment, SELECTOR.data3, 0, 0xffffffff, 0xc0f3);
    cpu.setSigned(RSP * 8, (cpl === 3 ? AT.stack3 : AT.stack0) + 0x800);
    cpu.modeChanged();
  }

  /** Decodes and executes one instruction at CS:`rip`. Gives 'ok', 'exit' or the fault: '#GP(8)'. Nothing is delivered. */
  run(...bytes: number[]): string {
    const { cpu } = this;
    const start = cpu.rip;
    const instruction = new Instruction();
    const size = cpu.code64 ? 64 : cpu.accessRights(CS) & 0x4000 ? 32 : 16;
    assert.equal(
      decode(Uint8Array.from(bytes), 0, bytes.length, size, instruction),
      DecodeStatus.OK,
      'the bytes decode',
    );
    assert.equal(instruction.length, bytes.length, 'all bytes belong to the instruction');
    cpu.rip = start + bytes.length;
    const routine = this.routines.routineOf(instruction);
    assert.equal(this.routines.missing.size, 0, [...this.routines.missing.keys()].join());
    const status = this.routines.list[routine](cpu, instruction);
    if (status === STATUS.fault) {
      cpu.rip = start;
      return this.fault();
    }
    assert.equal(cpu.faulted, false, 'no fault is left behind');
    return status === STATUS.next ? 'ok' : 'exit';
  }

  /** As `run`, and delivers the fault if there is one. */
  runAndDeliver(...bytes: number[]): Delivery | 'ok' | 'exit' {
    const { cpu } = this;
    const outcome = this.run(...bytes);
    if (outcome === 'ok' || outcome === 'exit') return outcome;
    cpu.faulted = true;
    return raiseException(cpu);
  }

  /** The recorded fault as text; it is forgotten. */
  fault(): string {
    const { cpu } = this;
    assert.equal(cpu.faulted, true, 'a fault is recorded');
    cpu.faulted = false;
    return MNEMONICS[cpu.faultVector] + (cpu.faultErrorCode >= 0 ? `(${cpu.faultErrorCode.toString(16)})` : '');
  }

  /** A 4 KiB page at the same physical address, in the page tables of long mode. */
  page(address: number, flags: number): void {
    this.poke64(AT.pageTables + 0x3000 + (address >>> 12) * 8, BigInt(address) | BigInt(flags));
    this.cpu.mmu.forgetAll();
  }

  private defaultCode(cpl: 0 | 3): number {
    if (this.mode === 'long') return cpl === 3 ? SELECTOR.userCode64 : SELECTOR.code64;
    return cpl === 3 ? SELECTOR.code3 : SELECTOR.code0;
  }

  private fillTables(): void {
    const long = this.mode === 'long';
    this.descriptor(SELECTOR.code0, { type: 0x1b });
    this.descriptor(SELECTOR.data0, { type: 0x13 });
    this.descriptor(SELECTOR.code3, { type: 0x1b, dpl: 3 });
    this.descriptor(SELECTOR.data3, { type: 0x13, dpl: 3 });
    this.descriptor(SELECTOR.code64, { type: 0x1b, flags: 0xa });
    this.descriptor(SELECTOR.userCode64, { type: 0x1b, dpl: 3, flags: 0xa });
    this.descriptor(SELECTOR.tss, { base: AT.tss, limit: 0x67, type: 11, flags: 0 });
    this.descriptor(SELECTOR.ldt, { base: AT.ldt, limit: 0x3f, type: 2, flags: 0 });
    this.descriptor(SELECTOR.conforming, { type: 0x1e, flags: long ? 0xa : 0xc });
    this.descriptor(SELECTOR.absent, { type: 0x1b, absent: true, flags: long ? 0xa : 0xc });
    this.descriptor(SELECTOR.absentData, { type: 0x13, absent: true });
    this.descriptor(SELECTOR.readOnly, { type: 0x11 });
    this.descriptor(SELECTOR.executeOnly, { type: 0x19 });
    this.descriptor(SELECTOR.code16, { type: 0x1b, flags: 0, limit: 0xffff });
    this.descriptor(SELECTOR.data16, { type: 0x13, flags: 0, limit: 0xffff });
    this.poke(AT.tss + 4, 4, AT.stack0 + 0x400);
    if (long) this.poke64(AT.tss + 0x24, BigInt(AT.ist + 0x808));
    else this.poke(AT.tss + 8, 4, SELECTOR.data0);
  }

  private enterReal(): void {
    const { cpu } = this;
    for (const segment of [ES, CS, SS, DS, FS, GS]) cpu.setSegment(segment, 0, 0, 0xffff, 0x93);
    cpu.setSegment(CS, AT.code >> 4, AT.code, 0xffff, 0x93);
    cpu.setSegment(SS, 0x1800, 0x18000, 0xffff, 0x93);
    cpu.setReg32(RSP, 0x800);
    cpu.rip = 0x100;
  }

  private enterProtected(): void {
    const { cpu } = this;
    const long = this.mode === 'long';
    cpu.set32(STATE.cr0, CR0.PE | CR0.ET | CR0.WP | (long ? CR0.PG : 0));
    if (long) this.enterLong();
    cpu.setSegment(TR, SELECTOR.tss, AT.tss, 0x67, 0x8b);
    cpu.setSegment(LDTR, 0, 0, 0, 0x10000);
    cpu.rip = AT.code;
    this.level(0);
  }

  /** 4-level paging: the first 2 MiB by 4 KiB pages, the rest of 16 MiB large; also at -2^47. Everything user and writable. */
  private enterLong(): void {
    const { cpu } = this;
    const t = AT.pageTables;
    this.poke64(t, BigInt(t + 0x1007));
    this.poke64(t + 256 * 8, BigInt(t + 0x1007));
    this.poke64(t + 0x1000, BigInt(t + 0x2007));
    this.poke64(t + 0x2000, BigInt(t + 0x3007));
    for (let i = 0; i < 512; i++) this.poke64(t + 0x3000 + i * 8, BigInt(i * 4096 + 7));
    for (let i = 1; i < 8; i++) this.poke64(t + 0x2000 + i * 8, BigInt(i * 0x200000 + 0x87));
    cpu.setSigned(STATE.cr3, t);
    cpu.set32(STATE.cr4, CR4.PAE);
    cpu.set32(STATE.efer, EFER.LME | EFER.LMA | EFER.SCE);
    cpu.mmu.pagingChanged();
  }
}
