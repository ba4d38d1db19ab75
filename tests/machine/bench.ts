// SPDX-License-Identifier: Apache-2.0
import { ConsoleChannel } from '../../src/system/console-channel.ts';
import { Pc } from '../../src/system/pc.ts';
import type { JitMode } from '../../src/machine/cpu/jit/jit.ts';
import type { ProcessorUnit } from '../../src/machine/processor-unit.ts';
import { CR0, CR4, EFER } from '../../src/machine/cpu/processor.ts';
import { CS, DS, ES, FS, GS, SS, STATE } from '../../src/machine/cpu/state.ts';

/** Where things lie in the first 2 MiB, which is mapped to itself. */
// prettier-ignore
export const AT = {
  pml4: 0x1000, pdpt: 0x2000, directory: 0x3000, table: 0x5000, gdt: 0x6000, idt: 0x7000,
  code: 0x10000, stack: 0x3f000,
  /** Linear: the page table maps from here, 4 KiB each; the local APIC's page. */
  pages: 0x400000, apic: 0x600000,
} as const;

const RAM = 16 << 20;
const APIC_BASE = 0xfee00000;
const PRESENT_WRITABLE = 3;
const LARGE = 0x80;
const CODE64 = 0x08;

/** Bytes of lines like `48 89 c8 ; mov rax, rcx`. */
export function machineCode(text: string): Uint8Array {
  const bytes = text.split('\n').flatMap((line) => line.replace(/;.*/, '').match(/[0-9a-f]{2}/g) ?? []);
  return Uint8Array.from(bytes, (byte) => Number.parseInt(byte, 16));
}

export interface BenchOptions {
  readonly processors?: number;
  /** Linear or physical address to code. */
  readonly code: Readonly<Record<number, string>>;
  /** Vector to handler address. */
  readonly handlers?: Readonly<Record<number, number>>;
  readonly cpuFeatures?: readonly string[];
  readonly jit?: JitMode;
  /** At least 4 MiB: so much is mapped. */
  readonly ramBytes?: number;
}

/** A PC whose first processor is in 64-bit mode, at CPL 0, about to execute what lies at `AT.code`. */
export class Bench {
  readonly console = new ConsoleChannel();
  readonly pc: Pc;

  constructor(options: BenchOptions) {
    const { processors = 1, code, handlers = {}, cpuFeatures = [], jit, ramBytes = RAM } = options;
    const serial = [this.console, new ConsoleChannel()];
    this.pc = new Pc({
      ramBytes,
      processors,
      startTime: 0,
      serial,
      disks: [],
      frequencyHz: 1e9,
      seed: 1,
      cpuFeatures,
      jit,
    });
    this.buildPages();
    this.poke64(AT.gdt + 8, 0x00af9b000000ffffn);
    this.poke64(AT.gdt + 16, 0x00cf93000000ffffn);
    for (const [vector, address] of Object.entries(handlers)) this.setGate(Number(vector), address);
    for (const [address, text] of Object.entries(code))
      this.pc.machine.memory.write(Number(address), machineCode(text));
    enterLongMode(this.unit);
  }

  get unit(): ProcessorUnit {
    return this.pc.machine.processors[0];
  }
  get cpu() {
    return this.unit.cpu;
  }
  get text(): string {
    return Buffer.from(this.console.transcript).toString('latin1');
  }

  poke64(address: number, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    this.pc.machine.memory.write(address, bytes);
  }
  peek32(address: number): number {
    const bytes = new Uint8Array(4);
    this.pc.machine.memory.read(address, bytes);
    return new DataView(bytes.buffer).getUint32(0, true);
  }
  /** Entry `index` of the page table: the page at AT.pages + index * 4096. */
  map(index: number, physical: number, flags = PRESENT_WRITABLE): void {
    this.poke64(AT.table + index * 8, BigInt(physical) | BigInt(flags));
  }

  /** Runs so many ticks at most, in slices; stops when every processor waits for ever. */
  run(ticks: number, slice = ticks): 'limit' | 'idle' | 'ended' {
    const end = this.pc.machine.ticks + ticks;
    let outcome: 'limit' | 'idle' | 'ended' = 'limit';
    while (outcome === 'limit' && this.pc.machine.ticks < end)
      outcome = this.pc.run(Math.min(end, this.pc.machine.ticks + slice));
    return outcome;
  }
  /** The first processor goes on at another address, as if it had jumped there. */
  goTo(address: number): void {
    this.cpu.rip = address;
    this.unit.activate();
  }

  private buildPages(): void {
    const link = (address: number): bigint => BigInt(address | PRESENT_WRITABLE);
    this.poke64(AT.pml4, link(AT.pdpt));
    this.poke64(AT.pdpt, link(AT.directory));
    this.poke64(AT.directory, link(LARGE));
    this.poke64(AT.directory + 8, link(0x200000 | LARGE));
    this.poke64(AT.directory + 16, link(AT.table));
    this.poke64(AT.directory + 24, BigInt(APIC_BASE) | BigInt(LARGE | PRESENT_WRITABLE));
  }

  private setGate(vector: number, address: number): void {
    const [low, high] = [BigInt(address & 0xffff), BigInt(address >>> 16)];
    this.poke64(AT.idt + vector * 16, low | (BigInt(CODE64) << 16n) | (0x8en << 40n) | (high << 48n));
  }
}

function enterLongMode(unit: ProcessorUnit): void {
  const { cpu } = unit;
  cpu.set32(STATE.cr0, CR0.PE | CR0.ET | CR0.NE | CR0.WP | CR0.PG);
  cpu.set32(STATE.cr4, CR4.PAE | CR4.OSFXSR);
  cpu.set32(STATE.efer, EFER.LME | EFER.LMA | EFER.SCE | EFER.NXE);
  cpu.set64(STATE.cr3, BigInt(AT.pml4));
  cpu.setSegment(CS, CODE64, 0, 0xffffffff, 0xa09b);
  for (const segment of [SS, DS, ES, FS, GS]) cpu.setSegment(segment, 0x10, 0, 0xffffffff, 0xc093);
  cpu.set64(STATE.gdtrBase, BigInt(AT.gdt));
  cpu.set32(STATE.gdtrLimit, 0x17);
  cpu.set64(STATE.idtrBase, BigInt(AT.idt));
  cpu.set32(STATE.idtrLimit, 0xfff);
  for (let i = 0; i < 16; i++) cpu.setReg64(i, 0n);
  cpu.setReg64(4, BigInt(AT.stack));
  cpu.rip = AT.code;
  cpu.rflags = 2;
  unit.activate();
  cpu.modeChanged();
  cpu.mmu.pagingChanged();
}
