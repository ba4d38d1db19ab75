// SPDX-License-Identifier: Apache-2.0
import { allFailures } from '../arch/vmx/entry-checks.ts';
import { EXIT_REASON } from '../arch/vmx/exit-reasons.ts';
import type { ExitReasonName } from '../arch/vmx/exit-reasons.ts';
import type { FieldName } from '../arch/vmx/fields.ts';
import { processorFacts } from '../arch/vmx/processor-facts.ts';
import type { ProfileName } from '../arch/vmx/profiles.ts';
import { ManualTime } from '../devices/manual-time.ts';
import type { MemoryMappedDevice, PortDevice } from '../hardware/memory.ts';
import type { ExitVerdict } from '../hardware/vmx.ts';
import type { L1Entry } from './boot-l1.ts';
import { FakeMachine } from './fake-machine.testing.ts';
import type { FakeProcessor } from './fake-machine.testing.ts';
import { L0 } from './l0.ts';
import type { L0Options } from './l0.ts';
import type { NestedHooks } from './nested-hooks.ts';
import type { Vcpu } from './vcpu.ts';

const MIB = 2 ** 20;
export const PAGE_TABLES = 0x10000;
export const CODE = 0x100000;
export const STACK = 0x200000;
/** L1-physical and, by the fixture's page tables, linear: where the fixture's device answers. */
export const DEVICE = 0xd0000000;
export const ECAM = 0xb0000000;

const data = { selector: 0x18, base: 0, limit: 0xffffffff, accessRights: 0xc093 };

/** 64-bit mode with 4 GiB mapped to themselves, interrupts off. */
export const LONG_ENTRY: L1Entry = {
  rip: CODE,
  rflags: 2,
  general: {
    rax: 0,
    rcx: 0,
    rdx: 0,
    rbx: 0,
    rsp: STACK,
    rbp: 0,
    rsi: 0,
    rdi: 0,
    r8: 0,
    r9: 0,
    r10: 0,
    r11: 0,
    r12: 0,
    r13: 0,
    r14: 0,
    r15: 0,
  },
  cr0: 0x80000011,
  cr2: 0,
  cr3: PAGE_TABLES,
  cr4: 0x20,
  efer: 0x500,
  gdtr: { base: 0x1000, limit: 0x1f },
  idtr: { base: 0, limit: 0x3ff },
  segments: {
    ...{ es: data, ss: data, ds: data, fs: data, gs: data },
    cs: { ...data, selector: 0x10, accessRights: 0xa09b },
    ldtr: { selector: 0, base: 0, limit: 0, accessRights: 0x10000 },
    tr: { selector: 0, base: 0, limit: 0x67, accessRights: 0x8b },
  },
};

/** 32-bit protected mode without paging. */
export const PROTECTED_ENTRY: L1Entry = {
  ...LONG_ENTRY,
  ...{ cr0: 0x11, cr3: 0, cr4: 0, efer: 0 },
  segments: { ...LONG_ENTRY.segments, cs: { ...data, selector: 0x10, accessRights: 0xc09b } },
};

/** Remembers accesses; every register is what was last written, in one array of bytes. */
export class FakeDevice implements MemoryMappedDevice, PortDevice {
  readonly bytes = new Uint8Array(0x1000);
  readonly log: string[] = [];

  readMemory(offset: number, width: 1 | 2 | 4): number {
    this.log.push(`read ${offset.toString(16)} ${width}`);
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + this.bytes[offset + i];
    return value;
  }
  writeMemory(offset: number, width: 1 | 2 | 4, value: number): void {
    this.log.push(`write ${offset.toString(16)} ${width} ${value.toString(16)}`);
    for (let i = 0; i < width; i++) this.bytes[offset + i] = (value >>> (8 * i)) & 0xff;
  }
  readPort(port: number, width: 1 | 2 | 4): number {
    return this.readMemory(port & 0xff, width);
  }
  writePort(port: number, width: 1 | 2 | 4, value: number): void {
    this.writeMemory(port & 0xff, width, value);
  }
}

/** L0 on a machine that executes nothing, its L1 at an entry; `exit` says what happened. */
export class Fixture {
  readonly machine: FakeMachine;
  readonly time = new ManualTime();
  readonly l0: L0;
  readonly processor: FakeProcessor;
  readonly vcpu: Vcpu;
  readonly device = new FakeDevice();
  readonly ends: string[] = [];

  constructor(
    profile: ProfileName = 'modern-1',
    options: { processors?: number; entry?: L1Entry; permute?: number; l0?: L0Options } = {},
  ) {
    const { processors = 1, permute } = options;
    this.machine = new FakeMachine(48 * MIB, profile, processors);
    const description = {
      ...{
        ramBytes: 16 * MIB,
        processors,
        ecam: { base: ECAM, buses: 256 as const },
        startTime: 0,
        serial: [],
        disks: [],
      },
      ...{ frequencyHz: 1e9, physicalAddressBits: 39, ...(permute === undefined ? {} : { permute }) },
    };
    const services = {
      powerOff: () => void this.ends.push('power off'),
      reset: (kind: string) => void this.ends.push(`reset ${kind}`),
      debugExit: (code: number) => void this.ends.push(`debug exit ${code}`),
      shutdown: (index: number, abort: number) =>
        void this.ends.push(`shutdown ${index}${abort === 0 ? '' : `, VMX abort ${abort}`}`),
    };
    this.l0 = new L0(this.machine, this.time, description, services, options.l0);
    this.processor = this.machine.processors[0];
    this.vcpu = this.l0.vcpus[0];
    this.l0.l1.bus.claimMemory(DEVICE, 0x1000, 'test device', this.device);
    this.l0.l1.bus.claimPorts(0xe00, 0x100, 'test device', this.device);
    this.l0.boot(
      { writes: [{ address: PAGE_TABLES, bytes: pageTables() }], entry: options.entry ?? LONG_ENTRY },
      { msrs: [], localApic: () => [], ports: [], cmos: [] },
    );
  }

  /** Writes L1's memory at an L1-physical address. */
  put(address: number, bytes: readonly number[]): void {
    this.l0.l1.memory.write(address, new Uint8Array(bytes));
  }
  bytesAt(address: number, length: number): number[] {
    const bytes = new Uint8Array(length);
    this.l0.l1.memory.read(address, bytes);
    return [...bytes];
  }

  /** An exit of the boot processor with this information; gives L0's verdict. */
  exit(
    reason: ExitReasonName,
    information: { readonly [Name in FieldName]?: bigint | number } = {},
    processor = this.processor,
  ): ExitVerdict {
    // As the hardware does: an exit clears the valid bit of the injection field, and says what it does not know as 0.
    processor.set('VM_ENTRY_INTR_INFO_FIELD', processor.get('VM_ENTRY_INTR_INFO_FIELD') & 0x7fffffffn);
    for (const name of ['IDT_VECTORING_INFO_FIELD', 'EXIT_QUALIFICATION', 'VM_EXIT_INSTRUCTION_LEN'] as const)
      processor.set(name, 0);
    processor.set('VM_EXIT_REASON', EXIT_REASON[reason]);
    for (const [name, value] of Object.entries(information) as [FieldName, bigint | number][])
      processor.set(name, value);
    return this.l0.exit(processor);
  }

  /** What the next entry injects, as vector, type and error code; undefined: nothing. */
  get injected(): { vector: number; type: number; errorCode?: number } | undefined {
    const information = Number(this.processor.get('VM_ENTRY_INTR_INFO_FIELD'));
    if (information < 0x80000000) return undefined;
    const errorCode = Number(this.processor.get('VM_ENTRY_EXCEPTION_ERROR_CODE'));
    return { vector: information & 0xff, type: (information >> 8) & 7, ...(information & 0x800 ? { errorCode } : {}) };
  }
}

/** Rules that the current VMCS of a fixture's processor breaks. */
export function brokenRules({ processor, machine }: Fixture): string[] {
  const view = {
    low: (offset: number) => processor.readLow(offset),
    high: (offset: number) => processor.readHigh(offset),
  };
  const readPhysical32 = (address: number): number =>
    address + 4 <= machine.memory.bytes ? machine.memory.read32(address) : 0xffffffff;
  const facts = processorFacts(processor.capabilities, 39);
  return allFailures(view, {
    facts,
    longModeActive: true,
    inSmm: false,
    currentVmcs: processor.currentVmcs,
    readPhysical32,
  }).map(({ id }) => id);
}

/** One PML4, one page-directory-pointer table, four page directories of 2-MiB pages. */
function pageTables(): Uint8Array {
  const view = new DataView(new ArrayBuffer(0x6000));
  view.setUint32(0, PAGE_TABLES + 0x1000 + 3, true);
  for (let i = 0; i < 4; i++) view.setUint32(0x1000 + 8 * i, PAGE_TABLES + 0x2000 + 0x1000 * i + 3, true);
  for (let i = 0; i < 2048; i++) view.setUint32(0x2000 + 8 * i, i * 0x200000 + 0x83, true);
  return new Uint8Array(view.buffer);
}

/** Nested VMX that is never in VMX operation. */
export function fakeHooks(changes: Partial<NestedHooks> = {}): NestedHooks {
  return {
    readCapability: (index) => (index === 0x480 ? { low: 1, high: 2 } : undefined),
    toL1Physical: (_vcpu, address) => address,
    leaveByAccess: () => {},
    allowsControl: () => true,
    blocksInit: () => false,
    vmxInstruction: () => {},
    handlesExit: () => true,
    beforeEntry: () => {},
    wakes: () => false,
    undeliverable: () => {},
    tscOffsetChanged: () => {},
    reset: () => {},
    ...changes,
  };
}
