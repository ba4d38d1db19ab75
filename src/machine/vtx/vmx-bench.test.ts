// SPDX-License-Identifier: Apache-2.0
// For the tests beside it: a processor with VT-x and its engine, a 64-bit host that only waits, and a guest whose bytes
// and VMCS the test gives.
import { strict as assert } from 'node:assert';
import { CpuidModel, MICROCODE_REVISION } from '../../arch/cpuid.ts';
import { ENTRY, EXIT, PRIMARY } from '../../arch/vmx/controls.ts';
import { exampleVmcs } from '../../arch/vmx/example-vmcs.ts';
import { exitReason } from '../../arch/vmx/exit-reasons.ts';
import { FIELDS, OFFSET } from '../../arch/vmx/fields.ts';
import type { FieldName } from '../../arch/vmx/fields.ts';
import { PROFILES, VMCS_REVISION_ID } from '../../arch/vmx/profiles.ts';
import type { ProfileName } from '../../arch/vmx/profiles.ts';
import { ApicBus } from '../../devices/lapic-bus.ts';
import { LocalApic } from '../../devices/lapic.ts';
import { ManualTime } from '../../devices/manual-time.ts';
import { JIT_DEFAULT, Jit } from '../cpu/jit/jit.ts';
import { Engine } from '../cpu/interpreter/engine.ts';
import { interpreterOf } from '../cpu/interpreter/module.ts';
import { MICROCODE } from '../cpu/microcode/all.ts';
import type { Event } from '../cpu/microcode/exceptions.ts';
import { deliver, raiseException } from '../cpu/microcode/interrupt-delivery.ts';
import { resetMsrs } from '../cpu/microcode/msr-table.ts';
import { Routines } from '../cpu/microcode/routines.ts';
import { MODE } from '../cpu/mode.ts';
import { MonitorState } from '../cpu/monitor-state.ts';
import { MsrState } from '../cpu/msr-state.ts';
import { CR0, CR4, EFER, Processor } from '../cpu/processor.ts';
import { resetProcessor } from '../cpu/reset.ts';
import { CS, DS, ES, FS, GS, RSP, SS, STATE, TR } from '../cpu/state.ts';
import { ATTENTION } from '../cpu/state.ts';
import { TimeStampCounterState } from '../cpu/time-stamp-counter.ts';
import { Translator } from '../cpu/translation/translator.ts';
import { Memory } from '../memory/memory.ts';
import { PHYSICAL_ADDRESS_BITS } from '../mmu/walk.ts';
import type { EventPorts } from './hooks.ts';
import { VMX_MICROCODE } from './instructions.ts';
import { VmxUnit } from './vmx-unit.ts';

/** Physical addresses; the host maps the first 1 GiB one to one, and so does a guest that has nothing else. */
// prettier-ignore
export const AT = {
  vmxon: 0x1000, vmcs: 0x2000, ioBitmapA: 0x3000, ioBitmapB: 0x4000, msrBitmap: 0x5000, virtualApic: 0x6000,
  apicAccess: 0x7000, shadowVmcs: 0x8000, vmreadBitmap: 0x9000, vmwriteBitmap: 0xa000, msrList: 0xb000, operand: 0xc000,
  pageTables: 0x10000, hostCode: 0x20000, hostExit: 0x21000, hostGdt: 0x22000, hostIdt: 0x23000, hostStack: 0x30000,
  guestCode: 0x40000, handler: 0x41000, guestIdt: 0x50000, guestGdt: 0x51000, guestTss: 0x52000, guestStack: 0x54000,
  ept: 0x60000, free: 0x70000, guestData: 0x200000,
} as const;

export const FEATURE_CONTROL = 0x3a;
const SIGNATURE = 0x806f8;
const HLT = 0xf4;

const BUS = { readMemory: () => 0xff, writeMemory: () => undefined, readPort: () => 0xff, writePort: () => undefined };

/** `0f 01 c1` to bytes. */
export function hex(text: string): number[] {
  return text
    .trim()
    .split(/\s+/)
    .map((byte) => parseInt(byte, 16));
}

export class VmxBench implements EventPorts {
  readonly memory = new Memory(1, 8 << 20, 0xb0000000);
  readonly cpu = new Processor(0, this.memory, BUS);
  readonly unit: VmxUnit;
  readonly apic: LocalApic;
  pendingInit = false;
  pendingStartup = -1;
  pendingNmi = false;
  /** Vectors of interrupts that wait, in place of the local APIC's. */
  readonly waiting: number[] = [];
  private readonly engine: Engine;

  constructor(profile: ProfileName = 'modern-1') {
    const { cpu, memory } = this;
    const cpuid = new CpuidModel({
      frequencyHz: 1e9,
      crystalHz: 1e9,
      processors: 1,
      physicalAddressBits: PHYSICAL_ADDRESS_BITS,
      edits: [],
    });
    const tsc = new TimeStampCounterState(cpu, 1e9);
    const signals = { interruptsChanged: () => {}, nmi: () => {}, init: () => {}, startup: () => {} };
    this.apic = new LocalApic(
      { id: 0, bootstrap: true, x2apic: true, tscDeadline: true, physicalAddressBits: PHYSICAL_ADDRESS_BITS },
      { signals, time: new ManualTime(), tsc, bus: new ApicBus(), externalInterrupts: { acknowledge: () => 0x20 } },
    );
    cpu.environment = {
      localApic: this.apic,
      cpuid,
      msrs: new MsrState({
        features: cpuid.features,
        physicalAddressBits: PHYSICAL_ADDRESS_BITS,
        frequencyHz: 1e9,
        microcodeRevision: MICROCODE_REVISION,
      }),
      tsc,
      monitor: new MonitorState(),
      random: { fill: (bytes) => bytes.fill(0x5a) },
      vmxCapabilities: PROFILES[profile],
      vmx: undefined,
    };
    this.unit = new VmxUnit(cpu, PROFILES[profile]);
    cpu.environment.vmx = this.unit;
    const modules = interpreterOf(0, memory.layout.codeTable);
    const routines = new Routines([...MICROCODE, VMX_MICROCODE]);
    const translator = new Translator(memory, modules.places, routines, cpuid.features, (host) =>
      cpu.mmu.buffers.dropWriteTags(host),
    );
    cpu.mmu.codePages = translator.store.codePages;
    const jit = new Jit(JIT_DEFAULT.mode, memory, translator, modules.places);
    this.engine = new Engine(cpu, translator, modules, routines.list, () => this.unit.settle(raiseException(cpu)), jit);
    this.reset();
  }

  // --- EventPorts ----------------------------------------------------------------------------------------------

  interruptWaits(): boolean {
    return this.waiting.length > 0;
  }
  acknowledge(): number {
    return this.waiting.shift() ?? 0;
  }
  deliverEvent(event: Event): void {
    this.unit.settle(deliver(this.cpu, event));
  }

  // --- memory --------------------------------------------------------------------------------------------------

  poke(address: number, bytes: readonly number[]): void {
    this.memory.write(address, Uint8Array.from(bytes));
  }
  poke64(address: number, low: number, high = 0): void {
    const { view } = this.memory;
    const host = this.memory.host(address);
    this.memory.noteWrite(host, 8);
    view.setUint32(host, low, true);
    view.setUint32(host + 4, high, true);
  }
  peek64(address: number): bigint {
    return this.memory.view.getBigUint64(this.memory.host(address), true);
  }
  setBit(bitmap: number, bit: number): void {
    const host = this.memory.host(bitmap + (bit >> 3));
    this.memory.u8[host] |= 1 << (bit & 7);
  }

  // --- VMCS ----------------------------------------------------------------------------------------------------

  set(name: FieldName, low: number, high = 0): this {
    this.unit.vmcs.write(OFFSET[name], low, high);
    this.unit.state.dirtyGroups = -1;
    return this;
  }
  or(name: FieldName, bits: number): this {
    return this.set(name, (this.get(name) | bits) >>> 0, this.unit.vmcs.high(OFFSET[name]));
  }
  get(name: FieldName): number {
    return this.unit.vmcs.low(OFFSET[name]);
  }
  get64(name: FieldName): bigint {
    return (BigInt(this.unit.vmcs.high(OFFSET[name])) << 32n) | BigInt(this.get(name));
  }
  primary(bits: number): this {
    return this.or('CPU_BASED_VM_EXEC_CONTROL', bits);
  }
  secondary(bits: number): this {
    return this.primary(PRIMARY.ACTIVATE_SECONDARY_CONTROLS).or('SECONDARY_VM_EXEC_CONTROL', bits);
  }
  pin(bits: number): this {
    return this.or('PIN_BASED_VM_EXEC_CONTROL', bits);
  }

  /** Clears memory; host in 64-bit mode, in VMX operation, with a valid VMCS current whose guest is in 64-bit mode too. */
  reset(): this {
    const { cpu, memory, unit } = this;
    for (const page of Object.values(AT)) memory.write(page, new Uint8Array(0x1000));
    for (let page = AT.ept; page < AT.guestData + 0x10000; page += 0x1000) memory.write(page, new Uint8Array(0x1000));
    this.pendingStartup = -1;
    this.pendingInit = this.pendingNmi = false;
    this.waiting.length = 0;
    resetProcessor(cpu, 'reset', SIGNATURE);
    resetMsrs(cpu);
    cpu.environment.msrs.set(FEATURE_CONTROL, 5n);
    unit.reset();
    unit.owner = undefined;
    cpu.mmu.buffers.flushAll();
    cpu.faulted = false;
    cpu.idleTicks = 0;
    cpu.runEnd = 0;
    cpu.words[STATE.remaining >> 2] = 0;
    this.buildTables();
    this.hostState();
    this.poke(AT.hostExit, [HLT]);
    this.poke64(AT.vmxon, VMCS_REVISION_ID);
    this.poke64(AT.vmcs, VMCS_REVISION_ID);
    unit.state.vmxOperation = true;
    unit.state.vmxonPointer = AT.vmxon;
    unit.makeCurrent(AT.vmcs);
    this.fillVmcs();
    return this;
  }

  private buildTables(): void {
    this.poke64(AT.pageTables, (AT.pageTables + 0x1000) | 0x27);
    this.poke64(AT.pageTables + 0x1000, (AT.pageTables + 0x2000) | 0x27);
    for (let i = 0; i < 512; i++) this.poke64(AT.pageTables + 0x2000 + 8 * i, ((i << 21) | 0xe7) >>> 0);
    for (const gdt of [AT.hostGdt, AT.guestGdt]) {
      this.poke64(gdt + 0x08, 0x0000ffff, 0x00af9b00);
      this.poke64(gdt + 0x10, 0x0000ffff, 0x00cf9300);
      this.poke64(gdt + 0x18, 0x0000ffff, 0x00cf9b00);
      this.poke64(gdt + 0x20, 0x0000ffff, 0x00cffb00);
    }
    for (const [idt, handler] of [
      [AT.hostIdt, AT.hostExit],
      [AT.guestIdt, AT.handler],
    ]) {
      for (let vector = 0; vector < 64; vector++)
        this.poke64(
          idt + 16 * vector,
          (0x80000 | ((handler + 16 * vector) % 0x10000)) >>> 0,
          (handler & 0xffff0000) | 0x8e00,
        );
    }
    for (let vector = 0; vector < 64; vector++) this.poke(AT.handler + 16 * vector, [0x90, HLT]);
  }

  private hostState(): void {
    const { cpu } = this;
    cpu.set32(STATE.cr0, CR0.PE | CR0.MP | CR0.ET | CR0.NE | CR0.WP | CR0.PG);
    cpu.set32(STATE.cr4, CR4.PAE | CR4.VMXE | CR4.OSFXSR | CR4.PGE | CR4.OSXSAVE);
    cpu.set32(STATE.efer, EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE);
    cpu.set64(STATE.cr3, BigInt(AT.pageTables));
    cpu.set64(STATE.xcr0, 3n);
    cpu.setSegment(CS, 8, 0, 0xffffffff, 0xa09b);
    for (const segment of [SS, DS, ES, FS, GS]) cpu.setSegment(segment, 16, 0, 0xffffffff, 0xc093);
    cpu.setSegment(TR, 0x40, 0x3000, 0x67, 0x8b);
    cpu.set64(STATE.gdtrBase, BigInt(AT.hostGdt));
    cpu.set64(STATE.idtrBase, BigInt(AT.hostIdt));
    cpu.set64(RSP * 8, BigInt(AT.hostStack));
    cpu.set32(STATE.activity, 0);
    cpu.mmu.pagingChanged();
    cpu.modeChanged();
  }

  private fillVmcs(): void {
    const example = exampleVmcs(this.unit.capabilities).view;
    for (const field of FIELDS)
      this.unit.vmcs.write(field.offset, example.low(field.offset), example.high(field.offset));
    // prettier-ignore
    const values: Partial<Record<FieldName, number>> = {
      HOST_CR3: AT.pageTables, HOST_RIP: AT.hostExit, HOST_RSP: AT.hostStack, HOST_GDTR_BASE: AT.hostGdt, HOST_IDTR_BASE: AT.hostIdt,
      HOST_CR4: CR4.PAE | CR4.VMXE | CR4.OSFXSR | CR4.PGE | CR4.OSXSAVE,
      GUEST_CR3: AT.pageTables, GUEST_RIP: AT.guestCode, GUEST_RSP: AT.guestStack, GUEST_GDTR_BASE: AT.guestGdt, GUEST_IDTR_BASE: AT.guestIdt,
      GUEST_TR_BASE: AT.guestTss, GUEST_CR4: CR4.PAE | CR4.VMXE | CR4.OSFXSR | CR4.PGE | CR4.OSXSAVE, GUEST_CS_SELECTOR: 8, GUEST_SS_SELECTOR: 16,
      GUEST_RFLAGS: 2, HOST_CS_SELECTOR: 8, HOST_SS_SELECTOR: 16, GUEST_GS_BASE: 0,
      MSR_BITMAP: AT.msrBitmap, IO_BITMAP_A: AT.ioBitmapA, IO_BITMAP_B: AT.ioBitmapB, VIRTUAL_APIC_PAGE_ADDR: AT.virtualApic, APIC_ACCESS_ADDR: AT.apicAccess,
      VMREAD_BITMAP: AT.vmreadBitmap, VMWRITE_BITMAP: AT.vmwriteBitmap, VIRTUAL_PROCESSOR_ID: 1, VM_EXIT_REASON: 0xffff, EPT_POINTER: AT.ept | 0x1e,
    };
    for (const [name, value] of Object.entries(values)) this.set(name as FieldName, value);
    this.primary(PRIMARY.USE_MSR_BITMAPS);
    this.or('VM_EXIT_CONTROLS', EXIT.HOST_ADDRESS_SPACE_SIZE);
    this.or('VM_ENTRY_CONTROLS', ENTRY.IA32E_MODE_GUEST);
  }

  // --- running ---------------------------------------------------------------------------------------------------

  /** Runs host instructions followed by HLT. */
  host(code: string): this {
    this.poke(AT.hostCode, [...hex(code), HLT]);
    this.cpu.rip = AT.hostCode;
    this.cpu.set32(STATE.activity, 0);
    this.run();
    return this;
  }
  /** Launches the guest with these bytes at its RIP; returns when the host waits. The name of the exit reason. */
  launch(code: string): string {
    this.poke(AT.guestCode, hex(code));
    return this.enter('0f 01 c2');
  }
  resume(): string {
    return this.enter('0f 01 c3');
  }
  private enter(code: string): string {
    this.host(code);
    return this.reason;
  }
  get reason(): string {
    const reason = this.get('VM_EXIT_REASON');
    const name = exitReason(reason & 0xffff)?.name ?? `reason ${reason}`;
    return reason >= 0x80000000 ? `failed: ${name}` : name;
  }
  /** Carry and zero flag: how a VMX instruction ended. */
  get outcome(): string {
    const flags = this.cpu.arithmeticFlags;
    if (flags & 1) return 'VMfailInvalid';
    return flags & 0x40 ? `VMfailValid ${this.get('VM_INSTRUCTION_ERROR')}` : 'VMsucceed';
  }

  /** The run loop as VMX wants it: until the host halts, or the processor cannot go on. */
  run(limit = 100_000): void {
    const { cpu, unit } = this;
    const { words } = cpu;
    const end = cpu.ticks + limit;
    while (cpu.ticks < end) {
      if (words[STATE.activity >> 2] !== 0 && !this.wake()) return;
      if (cpu.ticks >= unit.deadline()) words[STATE.attention >> 2] |= ATTENTION.vmx;
      const attention = words[STATE.attention >> 2];
      if (attention === 0) this.runFor(Math.min(end, unit.deadline()) - cpu.ticks, false);
      else this.attend(attention);
    }
    assert.fail(`still running after ${limit} instructions at ${cpu.rip.toString(16)}`);
  }

  /** HLT in the guest; time passes to the next deadline. */
  private wake(): boolean {
    const { cpu, unit } = this;
    if (!unit.governs) return false;
    if (unit.wakes(this)) {
      cpu.words[STATE.attention >> 2] |= ATTENTION.interrupt;
    } else {
      if (unit.deadline() === Infinity) return false;
      cpu.idleTicks += unit.deadline() - cpu.ticks;
      cpu.runEnd = unit.deadline();
      cpu.words[STATE.remaining >> 2] = 0;
      cpu.words[STATE.attention >> 2] |= ATTENTION.vmx;
    }
    unit.beforeInstruction(this);
    return true;
  }

  private attend(attention: number): void {
    const { cpu, unit } = this;
    const { words } = cpu;
    words[STATE.attention >> 2] &= ~(ATTENTION.interrupt | ATTENTION.vmx);
    if (unit.governs && unit.beforeInstruction(this)) {
      words[STATE.attention >> 2] |= unit.nonRoot ? unit.attention() : 0;
      return;
    }
    if ((attention & (ATTENTION.shadow | ATTENTION.debug | ATTENTION.vmx)) === 0) return;
    const blocking = words[STATE.interruptibility >> 2] & 3;
    words[STATE.attention >> 2] = 0;
    this.runFor(1, true);
    if ((words[STATE.attention >> 2] & ATTENTION.shadow) === 0 && blocking !== 0)
      words[STATE.interruptibility >> 2] &= ~3;
    words[STATE.attention >> 2] |= ATTENTION.interrupt | (unit.nonRoot ? unit.attention() : 0);
  }

  private runFor(budget: number, single: boolean): void {
    const { cpu } = this;
    const { words } = cpu;
    cpu.runEnd = cpu.ticks + budget;
    words[STATE.remaining >> 2] = budget;
    const alone = single || budget < 64;
    if (alone) words[STATE.mode >> 2] |= MODE.single;
    this.engine.run();
    if (alone) words[STATE.mode >> 2] &= ~MODE.single;
    words[STATE.record >> 2] = 0;
  }
}
