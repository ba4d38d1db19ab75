// SPDX-License-Identifier: Apache-2.0
import { CpuidModel, MICROCODE_REVISION } from '../../../arch/cpuid.ts';
import { PROFILES } from '../../../arch/vmx/profiles.ts';
import { DecodeStatus, decode } from '../../../decode/decoder.ts';
import { Instruction } from '../../../decode/instruction.ts';
import { ApicBus } from '../../../devices/lapic-bus.ts';
import { LocalApic } from '../../../devices/lapic.ts';
import { ManualTime } from '../../../devices/manual-time.ts';
import { Memory } from '../../memory/memory.ts';
import { PHYSICAL_ADDRESS_BITS } from '../../mmu/walk.ts';
import { STATUS } from '../interpreter/record.ts';
import { MODE } from '../mode.ts';
import { MonitorState } from '../monitor-state.ts';
import { MsrState } from '../msr-state.ts';
import { Processor } from '../processor.ts';
import { CR0, CR4, EFER } from '../register-bits.ts';
import { resetProcessor } from '../reset.ts';
import { CS, DS, ES, SS, STATE, TR } from '../state.ts';
import { TimeStampCounterState } from '../time-stamp-counter.ts';
import { MICROCODE } from './all.ts';
import type { Microcode } from './microcode.ts';
import { resetMsrs } from './msr-table.ts';

const RAM = 1 << 20;
const ROUTINES: ReadonlyMap<string, Microcode> = new Map(MICROCODE.flatMap((set) => Object.entries(set)));
const NAMES: Readonly<Record<number, string>> = { [STATUS.next]: 'next', [STATUS.exit]: 'exit' };

/** Page tables at 4000H..: the first 2 MiB one to one, user and writable. Free memory begins at 8000H. */
const TABLES = 0x4000;

/** One processor with everything microcode may ask for, and no engine: an instruction's bytes call its routine. */
export class SystemBench {
  readonly cpu: Processor;
  readonly apic: LocalApic;
  readonly time = new ManualTime();
  /** `r3f8.1`, `w80.1=12`: port accesses in order. */
  readonly ports: string[] = [];
  /** What the next port reads give. */
  readonly input: number[] = [];

  constructor(edits: readonly string[] = [], frequencyHz = 1e9) {
    const memory = new Memory(1, RAM, RAM);
    const bus = {
      readMemory: () => 0xff,
      writeMemory: () => {},
      readPort: (port: number, width: number) => {
        this.ports.push(`r${port.toString(16)}.${width}`);
        return this.input.shift() ?? 0;
      },
      writePort: (port: number, width: number, value: number) =>
        void this.ports.push(`w${port.toString(16)}.${width}=${value.toString(16)}`),
    };
    const cpu = new Processor(0, memory, bus);
    this.cpu = cpu;
    const cpuid = new CpuidModel({
      frequencyHz,
      crystalHz: 1e9,
      processors: 1,
      physicalAddressBits: PHYSICAL_ADDRESS_BITS,
      edits,
    });
    const tsc = new TimeStampCounterState(cpu, frequencyHz);
    const signals = { interruptsChanged: () => {}, nmi: () => {}, init: () => {}, startup: () => {} };
    const services = {
      signals,
      time: this.time,
      tsc,
      bus: new ApicBus(),
      externalInterrupts: { acknowledge: () => 0x20 },
    };
    this.apic = new LocalApic(
      { id: 0, bootstrap: true, x2apic: true, tscDeadline: true, physicalAddressBits: PHYSICAL_ADDRESS_BITS },
      services,
    );
    const description = {
      features: cpuid.features,
      physicalAddressBits: PHYSICAL_ADDRESS_BITS,
      frequencyHz,
      microcodeRevision: MICROCODE_REVISION,
    };
    let next = 0;
    cpu.environment = {
      localApic: this.apic,
      cpuid,
      msrs: new MsrState(description),
      tsc,
      monitor: new MonitorState(),
      random: { fill: (bytes) => bytes.forEach((_, i) => (bytes[i] = ++next & 0xff)) },
      vmxCapabilities: PROFILES['modern-1'],
      vmx: undefined,
    };
    resetProcessor(cpu, 'reset', 0x806f8);
    resetMsrs(cpu);
  }

  /** Flat 32-bit protected mode, no paging. */
  protected32(): this {
    return this.flat(CR0.PE | CR0.ET | CR0.NE, 0xc09b);
  }

  /** 64-bit mode at CPL 0 over the bench's own page tables. */
  long(): this {
    const { cpu } = this;
    const entry = (at: number, value: number): void =>
      cpu.memory.write(at, Uint8Array.of(value & 0xff, value >> 8, value >> 16, 0));
    entry(TABLES, (TABLES + 0x1000) | 7);
    entry(TABLES + 0x1000, (TABLES + 0x2000) | 7);
    entry(TABLES + 0x2000, 0x87);
    cpu.set64(STATE.cr4, BigInt(CR4.PAE | CR4.OSFXSR | CR4.OSXSAVE));
    cpu.set64(STATE.cr3, BigInt(TABLES));
    cpu.set64(STATE.efer, BigInt(EFER.LME | EFER.LMA));
    return this.flat(CR0.PE | CR0.ET | CR0.NE | CR0.PG | CR0.WP, 0xa09b);
  }

  private flat(cr0: number, code: number): this {
    const { cpu } = this;
    cpu.set64(STATE.cr0, BigInt(cr0 >>> 0));
    cpu.setSegment(CS, 8, 0, 0xffffffff, code);
    for (const segment of [SS, DS, ES]) cpu.setSegment(segment, 16, 0, 0xffffffff, 0xc093);
    cpu.setSegment(TR, 24, 0x3000, 0x67, 0x8b);
    cpu.mmu.pagingChanged();
    cpu.modeChanged();
    return this;
  }

  atCpl(cpl: number): this {
    this.cpu.set32(STATE.cpl, cpl);
    this.cpu.modeChanged();
    return this;
  }

  /** Runs one instruction, its bytes in hexadecimal: `next`, `exit`, or the fault: `#13(0)`, `#6`. */
  run(hexadecimal: string): string {
    const { cpu } = this;
    const bytes = Uint8Array.from(hexadecimal.split(' '), (byte) => parseInt(byte, 16));
    const instruction = new Instruction();
    const mode = cpu.words[STATE.mode >> 2];
    const codeSize = mode & MODE.code64 ? 64 : mode & MODE.code32 ? 32 : 16;
    if (decode(bytes, 0, bytes.length, codeSize, instruction) !== DecodeStatus.OK) return 'undecodable';
    const { mnemonic, operandText, privileged } = instruction.opcode;
    const routine = ROUTINES.get(`${mnemonic} ${operandText}`) ?? ROUTINES.get(mnemonic);
    if (routine === undefined) return 'no routine';
    const status = privileged && cpu.cpl !== 0 ? cpu.generalProtection() : routine(cpu, instruction);
    return status === STATUS.fault ? this.takeFault() : (NAMES[status] ?? `status ${status}`);
  }

  private takeFault(): string {
    const { cpu } = this;
    cpu.faulted = false;
    return cpu.faultErrorCode < 0 ? `#${cpu.faultVector}` : `#${cpu.faultVector}(${cpu.faultErrorCode})`;
  }
}
