// SPDX-License-Identifier: Apache-2.0
// The two machines that execute the same programs: the bare one, which shows what L1 sees under L0, and one that L0 owns.
// They are made once and execute one program after the other, since making them takes longer than hundreds of programs.
import { supports } from '../../src/arch/vmx/capabilities.ts';
import type { VmxCapabilities } from '../../src/arch/vmx/capabilities.ts';
import { PROFILES } from '../../src/arch/vmx/profiles.ts';
import type { BootPlan } from '../../src/boot/plan.ts';
import type { Halves } from '../../src/hardware/vmx.ts';
import type { NestedHost } from '../../src/l0/nested-hooks.ts';
import { capabilitiesForL1 } from '../../src/l0/nested/capabilities.ts';
import { NestedVmx } from '../../src/l0/nested/nested-vmx.ts';
import type { LocalApic } from '../../src/devices/lapic.ts';
import type { JitMode } from '../../src/machine/cpu/jit/jit.ts';
import type { Machine } from '../../src/machine/machine.ts';
import type { ProcessorUnit } from '../../src/machine/processor-unit.ts';
import { L0Pc } from '../../src/system/l0-pc.ts';
import { Pc, enterAt } from '../../src/system/pc.ts';
import { DEBUG_EXIT, RAM_BYTES } from './layout.ts';
import { readMonitor } from './monitor.ts';
import type { Configuration } from './program.ts';

const PAGE = 0x1000;
const ZERO_PAGE = Buffer.alloc(PAGE);
const FREQUENCY = 1e9;
/** Some hundred programs' code. Each machine's memory is garbage that V8 collects at once when it is large. */
const RECORD_POOL_BYTES = 1 << 20;
const TO_THE_FIRST_PROGRAM = 1e6;
const ALL_CONTEXTS = 2;
const STARTUP_VECTOR = 0x9a;
/** Where nothing of a program or the monitor lies. */
const WAITING = 0x1000;
/** How L1's memory is shuffled in the machine's. */
const PERMUTE = 9;

export const MONITOR = readMonitor();

/** A machine as L1 sees it. */
export interface Side {
  readonly name: string;
  readonly pc: Pc | L0Pc;
  readonly unit: ProcessorUnit;
  /** L1's. */
  readonly localApic: LocalApic;
  /** Bits 31:0 of L1's time-stamp counter. */
  tsc(): number;
  /** L1's memory, page by page, where it lies. */
  readonly pages: readonly Uint8Array[];
  /** Where the monitor's first instruction lies. */
  readonly start: number;
  write(address: number, bytes: Uint8Array): void;
  inL2(): boolean;
  /** Makes L2 exit as another processor would: by a start-up IPI if it waits for one, by INIT if not. */
  fetchBack(): void;
  /** Ends a shutdown of L1 as RESET of its processor would, all else staying as it is: at the monitor's first instruction. */
  revive(): void;
}

/** What L1 sees of VMX under L0. */
export function shownCapabilities({ profile, paging }: Configuration): VmxCapabilities {
  return capabilitiesForL1(PROFILES[profile], paging);
}

const NEEDS_CONTROL = [['rdtscp', 'ENABLE_RDTSCP'], ['rdpid', 'ENABLE_RDTSCP'], ['invpcid', 'ENABLE_INVPCID'], ['xsaves', 'ENABLE_XSAVES_XRSTORS']] as const; // prettier-ignore

/** The features that L0 hides from L1. */
function hiddenFeatures(capabilities: VmxCapabilities): string[] {
  const missing = NEEDS_CONTROL.filter(([, control]) => !supports(capabilities, `secondary.${control}`));
  return ['-monitor', ...missing.map(([feature]) => `-${feature}`)];
}

function options({ profile }: Configuration, jit: JitMode) {
  return {
    ...{ serial: [], disks: [], startTime: 0, ramBytes: RAM_BYTES, processors: 1, frequencyHz: FREQUENCY, seed: 1 },
    ...{ vmxProfile: profile, debugExit: { port: DEBUG_EXIT, size: 4 }, jit },
    recordPoolBytes: RECORD_POOL_BYTES,
  };
}

function boot(pc: Pc | L0Pc): BootPlan {
  return pc.boot({ kernel: MONITOR.bytes, kernelName: 'monitor', commandLine: '', modules: [] });
}

/** Up to where the monitor asks for a program. `base` does not hold the monitor. */
export function toFirstProgram(side: Side, base: Buffer): void {
  for (let at = 0; at < base.length; at += PAGE) {
    const page = base.subarray(at, at + PAGE);
    if (page.compare(ZERO_PAGE) !== 0) side.write(at, page);
  }
  if (!beginsMonitor(side)) throw new Error(`the monitor begins on ${side.name}: ${JSON.stringify(side.pc.end)}`);
}

function beginsMonitor({ pc }: Side): boolean {
  pc.run(pc.machine.ticks + TO_THE_FIRST_PROGRAM);
  return pc.end?.kind === 'debugExit';
}

/**
 * After a shutdown of L1: to where the monitor asks for a program again. `image` is what memory was at a program's begin.
 * All sides come to the same time, which the monitor waits for in a loop. False: what INIT leaves as it was
 * keeps the monitor from beginning, or makes it take another time.
 */
export function reviveAll(sides: readonly Side[], image: Buffer): boolean {
  const now = Math.max(...sides.map(({ pc }) => pc.machine.ticks));
  for (const side of sides) {
    setMemory(side, image);
    forgetTranslations(side);
    side.write(WAITING, waiting(now - side.pc.machine.ticks, side.start));
    side.pc.end = undefined;
    side.revive();
  }
  return sides.every(beginsMonitor) && new Set(sides.map(({ pc }) => pc.machine.ticks)).size === 1;
}

/** MOV ECX, n; LOOP $; JMP to `then`. In 32-bit mode without paging. */
function waiting(ticks: number, then: number): Uint8Array {
  const code = Buffer.from([0xb9, 0, 0, 0, 0, 0xe2, 0xfe, 0xe9, 0, 0, 0, 0]);
  code.writeUInt32LE(1 + ticks, 1);
  code.writeInt32LE(then - (WAITING + code.length), 8);
  return code;
}

function pagesOf(machine: Machine, host: (address: number) => number): Uint8Array[] {
  return Array.from({ length: RAM_BYTES / PAGE }, (_, page) => {
    const at = machine.memory.host(host(page * PAGE)) >>> 0;
    return machine.memory.u8.subarray(at, at + PAGE);
  });
}

function lowOf(counter: { read(out: Halves): void }): number {
  const now: Halves = { low: 0, high: 0 };
  counter.read(now);
  return now.low;
}

export function bareSide(configuration: Configuration, jit: JitMode): Side {
  const vmxCapabilities = shownCapabilities(configuration);
  const cpuFeatures = hiddenFeatures(PROFILES[configuration.profile]);
  const pc = new Pc({ ...options(configuration, jit), vmxCapabilities, cpuFeatures });
  const [unit] = pc.machine.processors;
  const { entry } = boot(pc);
  return {
    name: 'the bare machine',
    ...{ pc, unit, pages: pagesOf(pc.machine, (address) => address) },
    localApic: unit.localApic,
    tsc: () => lowOf(unit.cpu.environment.tsc),
    write: (address, bytes) => pc.machine.memory.write(address, bytes),
    inL2: () => unit.vmx?.nonRoot === true,
    start: entry.rip,
    fetchBack: () => {
      unit.events.startup(STARTUP_VECTOR);
      if (unit.events.pendingStartup < 0) unit.events.init();
    },
    revive: () => {
      unit.vmx?.reset();
      unit.events.pendingNmi = false;
      unit.events.init();
      unit.events.deliverPending(unit.cpu);
      enterAt(unit, { ...entry, rip: WAITING });
    },
  };
}

export interface L0Side extends Side {
  readonly pc: L0Pc;
  readonly nested: NestedVmx;
}

/** INIT has left what firmware once set up, and the monitor sets up the rest. */
const NO_FIRMWARE = { msrs: [], localApic: () => [], ports: [], cmos: [] };

export function l0Side(configuration: Configuration, jit: JitMode): L0Side {
  const made: { nested?: NestedVmx } = {};
  const { paging } = configuration;
  const l0 = { nested: (host: NestedHost) => (made.nested = new NestedVmx(host, { paging })) };
  const pc = new L0Pc({ ...options(configuration, jit), permute: PERMUTE, l0 });
  const [unit] = pc.machine.processors;
  const [vcpu] = pc.l0.vcpus;
  const { entry } = boot(pc);
  if (made.nested === undefined) throw new Error('L0 has made nested VMX');
  return {
    name: 'L0',
    ...{ pc, unit, nested: made.nested, pages: pagesOf(pc.machine, (address) => pc.l0.l1.memory.translate(address)) },
    localApic: vcpu.localApic,
    tsc: () => lowOf(vcpu.tsc),
    write: (address, bytes) => pc.l0.l1.memory.write(address, bytes),
    inL2: () => vcpu.state.level === 2,
    start: entry.rip,
    fetchBack: () => {
      vcpu.startup(STARTUP_VECTOR);
      if (vcpu.state.pendingStartup < 0) vcpu.init();
    },
    revive: () => {
      vcpu.attending = true;
      vcpu.localApic.initialize();
      made.nested?.reset(vcpu);
      pc.l0.boot({ writes: [], entry: { ...entry, rip: WAITING } }, NO_FIRMWARE);
      vcpu.attending = false;
      vcpu.processor.kick();
    },
  };
}

/** Between programs no translation is left that an earlier one has made: their tables are not there any more. */
export function forgetTranslations({ unit }: Side): void {
  unit.vmx?.invalidateEpt(ALL_CONTEXTS, 0);
  unit.vmx?.invalidateVpid(ALL_CONTEXTS, 0, 0);
}

/** Makes L1's memory what `image` says; pages that are so already are left alone. */
export function setMemory(side: Side, image: Buffer): void {
  for (let page = 0; page < side.pages.length; page++) {
    const wanted = image.subarray(page * PAGE, (page + 1) * PAGE);
    if (wanted.compare(side.pages[page]) !== 0) side.write(page * PAGE, wanted);
  }
}
