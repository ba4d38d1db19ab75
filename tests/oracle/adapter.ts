// SPDX-License-Identifier: Apache-2.0
import { InternalError } from '../../src/base/assert.ts';
import { Machine } from '../../src/machine/machine.ts';
import { JIT_DEFAULT, Jit, type JitMode } from '../../src/machine/cpu/jit/jit.ts';
import { Engine } from '../../src/machine/cpu/interpreter/engine.ts';
import { interpreterOf } from '../../src/machine/cpu/interpreter/module.ts';
import { STATUS } from '../../src/machine/cpu/interpreter/record.ts';
import { MODE } from '../../src/machine/cpu/mode.ts';
import type { Event } from '../../src/machine/cpu/microcode/exceptions.ts';
import { eventHooks } from '../../src/machine/cpu/microcode/interrupt-delivery.ts';
import { loadNull } from '../../src/machine/cpu/microcode/segment-load.ts';
import { MICROCODE } from '../../src/machine/cpu/microcode/all.ts';
import { Routines } from '../../src/machine/cpu/microcode/routines.ts';
import { Processor } from '../../src/machine/cpu/processor.ts';
import { CR0, CR4, EFER } from '../../src/machine/cpu/register-bits.ts';
import { CS, DS, ES, FS, GS, SEGMENT, SS, STATE, segmentOffset } from '../../src/machine/cpu/state.ts';
import { Translator } from '../../src/machine/cpu/translation/translator.ts';
import { Memory } from '../../src/machine/memory/memory.ts';
import type { CpuUnderTest, StepResult, UserState } from './cpu-under-test.ts';
import { DESCRIPTORS, DESCRIPTOR_TABLE, REGIONS, backgroundOf } from './memory-map.ts';

const DATA_SEGMENTS = [DS, ES, FS, GS];
/** Prime, so that budgets end anywhere. */
const SLICE = 997;
const SLICES = 100;
const TABLES = 0x1000;
const PAGES = 0x100000;

/** Guest-physical page of each mapped linear page. */
class AddressSpace {
  readonly physical = new Map<number, number>();
  private nextTable = TABLES + 0x1000;
  private nextPage = PAGES;
  private readonly memory: Memory;

  constructor(memory: Memory) {
    this.memory = memory;
    for (const region of REGIONS) {
      const bytes = backgroundOf(region);
      for (let offset = 0; offset < region.length; offset += 0x1000) {
        this.map(region.start + offset, region.write, region.execute);
        this.memory.write(this.nextPage - 0x1000, bytes.subarray(offset, offset + 0x1000));
      }
    }
    this.map(DESCRIPTOR_TABLE, true, false, 0x63n);
    this.memory.write(this.nextPage - 0x1000, new Uint8Array(BigUint64Array.from(DESCRIPTORS).buffer));
  }

  /** `rights`: the low bits of the entry. */
  private map(linear: number, write: boolean, execute: boolean, rights = write ? 0x67n : 0x65n): void {
    let table = TABLES;
    for (let shift = 39; shift > 12; shift -= 9) {
      const at = table + (Math.floor(linear / 2 ** shift) % 512) * 8;
      let entry = Number(this.entry(at));
      if (entry === 0) {
        entry = this.nextTable + 0x27;
        this.nextTable += 0x1000;
        this.setEntry(at, BigInt(entry));
      }
      table = entry - (entry % 0x1000);
    }
    const page = this.nextPage;
    this.nextPage += 0x1000;
    this.setEntry(table + (Math.floor(linear / 4096) % 512) * 8, BigInt(page) | rights | (execute ? 0n : 1n << 63n));
    this.physical.set(linear / 4096, page);
  }
  private entry(at: number): bigint {
    return this.memory.view.getBigUint64(this.memory.host(at), true);
  }
  private setEntry(at: number, value: bigint): void {
    this.memory.view.setBigUint64(this.memory.host(at), value, true);
  }
}

const unclaimed = { readMemory: () => 0xff, writeMemory: () => {}, readPort: () => 0xff, writePort: () => {} };

/** Our processor with the pages of memory-map.ts, in 64-bit mode at CPL 3. */
export class TurtlesCpu implements CpuUnderTest {
  private readonly memory = new Memory(1, 4 << 20, 0xb0000000);
  private readonly cpu = new Processor(0, this.memory, unclaimed);
  private readonly space = new AddressSpace(this.memory);
  private readonly engine: Engine;
  private readonly jit: Jit;

  constructor(mode: JitMode) {
    const { cpu, memory } = this;
    const modules = interpreterOf(0, memory.layout.codeTable);
    const routines = new Routines(MICROCODE);
    const features = { has: () => true } as unknown as ReadonlySet<string>;
    const translator = new Translator(memory, modules.places, routines, features, (host) =>
      cpu.mmu.buffers.dropWriteTags(host),
    );
    cpu.mmu.codePages = translator.store.codePages;
    const jit = (this.jit = new Jit(mode, memory, translator, modules.places));
    this.engine = new Engine(cpu, translator, modules, routines.list, () => STATUS.exit, jit);
    this.cpu.environment = new Machine(
      { processors: 1, ramBytes: 1 << 20, hole: 0xb0000000, frequencyHz: 1e9, seed: 1 },
      { acknowledge: () => 0 },
    ).processors[0].cpu.environment;
    this.enterLongMode();
  }

  private enterLongMode(): void {
    const { cpu } = this;
    cpu.set32(STATE.cr0, CR0.PE | CR0.MP | CR0.NE | CR0.ET | CR0.WP | CR0.AM | CR0.PG);
    cpu.set32(STATE.cr4, CR4.PAE | CR4.OSFXSR | CR4.OSXMMEXCPT | CR4.FSGSBASE | CR4.OSXSAVE | CR4.PGE);
    cpu.set32(STATE.efer, EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE);
    cpu.set64(STATE.cr3, BigInt(TABLES));
    cpu.set64(STATE.xcr0, 3n);
    cpu.set32(STATE.cpl, 3);
    cpu.setSegment(CS, 0x33, 0, 0xffffffff, 0xa0fb);
    cpu.setSegment(SS, 0x2b, 0, 0xffffffff, 0xc0f3);
    for (const segment of DATA_SEGMENTS) loadNull(cpu, segment, 0, 0);
    cpu.set64(STATE.gdtrBase, BigInt(DESCRIPTOR_TABLE));
    cpu.set32(STATE.gdtrLimit, DESCRIPTORS.length * 8 - 1);
    cpu.rflags = 2;
    cpu.modeChanged();
    cpu.mmu.pagingChanged();
  }

  /** Regions compiled so far. */
  get regions(): number {
    return this.jit.counts.regions;
  }

  set(state: UserState): void {
    const { cpu } = this;
    for (let i = 0; i < 16; i++) cpu.setReg64(i, state.general[i]);
    cpu.set64(STATE.rip, state.rip);
    cpu.rflags = Number(state.rflags);
    for (const [n, segment] of DATA_SEGMENTS.entries()) loadNull(cpu, segment, state.selectors[n], 0);
    cpu.set64(segmentOffset(FS) + SEGMENT.base, state.fsBase);
    cpu.set64(segmentOffset(GS) + SEGMENT.base, state.gsBase);
    cpu.set32(STATE.mxcsr, state.mxcsr);
    cpu.set32(STATE.fcw, state.fcw);
    cpu.set32(STATE.fsw, state.fsw);
    cpu.set32(STATE.ftw, state.ftw);
    cpu.bytes.set(state.xmm, STATE.xmm);
    const top = (state.fsw >> 11) & 7;
    for (let i = 0; i < 8; i++) cpu.bytes.set(state.st.subarray(i * 16, i * 16 + 16), STATE.x87 + ((top + i) & 7) * 16);
    cpu.mmu.contextChanged();
  }

  get(): UserState {
    const { cpu } = this;
    const st = new Uint8Array(128);
    const top = (cpu.get32(STATE.fsw) >> 11) & 7;
    for (let i = 0; i < 8; i++)
      st.set(cpu.bytes.subarray(STATE.x87 + ((top + i) & 7) * 16, STATE.x87 + ((top + i) & 7) * 16 + 10), i * 16);
    return {
      general: BigUint64Array.from({ length: 16 }, (_, i) => cpu.reg64(i)),
      rip: cpu.get64(STATE.rip),
      rflags: BigInt(cpu.rflags),
      fsBase: cpu.get64(segmentOffset(FS) + SEGMENT.base),
      gsBase: cpu.get64(segmentOffset(GS) + SEGMENT.base),
      selectors: Uint8Array.from(DATA_SEGMENTS, (segment) => cpu.get32(segmentOffset(segment) + SEGMENT.selector)),
      mxcsr: cpu.get32(STATE.mxcsr),
      fcw: cpu.get32(STATE.fcw),
      fsw: cpu.get32(STATE.fsw),
      ftw: cpu.get32(STATE.ftw),
      st,
      xmm: cpu.bytes.slice(STATE.xmm, STATE.xmm + 256),
    };
  }

  writeMemory(address: bigint, bytes: Uint8Array): void {
    this.pieces(Number(address), bytes.length, (physical, from, to) =>
      this.memory.write(physical, bytes.subarray(from, to)),
    );
  }
  readMemory(address: bigint, length: number, bytes: Uint8Array = new Uint8Array(length)): Uint8Array {
    this.pieces(Number(address), length, (physical, from, to) => this.memory.read(physical, bytes.subarray(from, to)));
    return bytes;
  }
  private pieces(address: number, length: number, body: (physical: number, from: number, to: number) => void): void {
    for (let done = 0; done < length;) {
      const at = address + done;
      const n = Math.min(length - done, 0x1000 - (at % 0x1000));
      const page = this.space.physical.get(Math.floor(at / 0x1000));
      if (page === undefined) throw new Error(`not mapped: ${at.toString(16)}`);
      body(page + (at % 0x1000), done, done + n);
      done += n;
    }
  }

  step(): StepResult {
    this.cpu.words[STATE.mode >> 2] |= MODE.single;
    return this.execute(1);
  }

  run(): StepResult {
    this.cpu.words[STATE.mode >> 2] &= ~MODE.single;
    for (let n = 0; n < SLICES; n++) {
      const result = this.execute(SLICE);
      if (result.kind === 'fault') return result;
    }
    throw new InternalError('a stream came to no end');
  }

  private execute(instructions: number): StepResult {
    const { cpu } = this;
    let software = undefined as Event | undefined;
    eventHooks(cpu).interceptEvent = (event) => {
      software = event;
      return true;
    };
    cpu.faulted = false;
    cpu.words[STATE.attention >> 2] = 0;
    cpu.words[STATE.remaining >> 2] = instructions;
    this.engine.run();
    if (software !== undefined) return { kind: 'fault', vector: software.vector };
    if (!cpu.faulted) return { kind: 'ok' };
    return {
      kind: 'fault',
      vector: cpu.faultVector,
      ...(cpu.faultErrorCode >= 0 ? { errorCode: cpu.faultErrorCode } : {}),
      ...(cpu.faultVector === 14
        ? { address: (BigInt(cpu.faultLinearHigh) << 32n) | BigInt(cpu.faultLinearLow >>> 0) }
        : {}),
    };
  }
}

/** What of its code is compiled: as the process says, if nothing is said. */
export function createCpuUnderTest(jit: JitMode = JIT_DEFAULT.mode): TurtlesCpu {
  return new TurtlesCpu(jit);
}
