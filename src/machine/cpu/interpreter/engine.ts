// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../../base/assert.ts';
import { BASE_RIP } from '../../../decode/instruction.ts';
import type { Memory } from '../../memory/memory.ts';
import { WebAssembly, moduleOf } from '../../webassembly.ts';
import type { WasmFunction } from '../../webassembly.ts';
import { MODE } from '../mode.ts';
import type { Processor } from '../processor.ts';
import { AFTER, CS, STATE } from '../state.ts';
import { LEAVE } from '../jit/region.ts';
import type { Jit, RegionCalls } from '../jit/jit.ts';
import type { Microcode } from '../microcode/microcode.ts';
import { addressRecord } from '../microcode/effective-address.ts';
import type { Translator } from '../translation/translator.ts';
import type { InterpreterModules } from './module.ts';
import { RECORD, STATUS } from './record.ts';

/** Exceptions that push an error code. See: SDM 6.3.1 Table Protected-Mode Exceptions and Interrupts. */
const HAS_ERROR_CODE = new Set([8, 10, 11, 12, 13, 14, 17, 21]);
const LONGEST_INSTRUCTION = 15;
const LONGEST_BLOCK = 32 * LONGEST_INSTRUCTION;
const GENERAL_PROTECTION = 13;
const UNDEFINED_OPCODE = 6;

/** What the engine asks of those who know events: deliver the recorded fault; STATUS.dispatch or STATUS.exit. */
export type FaultDelivery = (cpu: Processor) => number;

/** One processor's interpreter: the WebAssembly functions, and what they call. */
export class Engine implements RegionCalls {
  private readonly cpu: Processor;
  private readonly memory: Memory;
  private readonly translator: Translator;
  private readonly routines: readonly Microcode[];
  private readonly deliverFault: FaultDelivery;
  private readonly jit: Jit;
  private readonly enter: () => number;

  constructor(
    cpu: Processor,
    translator: Translator,
    modules: InterpreterModules,
    routines: readonly Microcode[],
    deliverFault: FaultDelivery,
    jit: Jit,
  ) {
    this.cpu = cpu;
    this.jit = jit;
    this.memory = cpu.memory;
    this.translator = translator;
    this.routines = routines;
    this.deliverFault = deliverFault;
    this.enter = this.instantiate(modules);
  }

  /** Runs until the budget in STATE.remaining is used up, attention is asked for, or microcode says exit. */
  run(): void {
    this.enter();
  }

  private instantiate(modules: InterpreterModules): () => number {
    const { cpu } = this;
    const table = new WebAssembly.Table({ element: 'anyfunc', initial: modules.coldCount });
    this.jit.table.attach(table);
    this.jit.attach(this.cpu.area, this);
    const imports = {
      ...this.jit.runtime,
      m: this.memory.wasm,
      t: table,
      access: (low: number, high: number, spec: number) => cpu.mmu.access(low, high, spec),
      raise: (vector: number, errorCode: number) => void cpu.fault(vector, HAS_ERROR_CODE.has(vector) ? errorCode : -1),
      finish: () => (cpu.mmu.finishStore() ? 1 : 0),
      microcode: (record: number) => this.microcode(record),
      helper: (record: number) => this.helper(record),
      lookup: () => this.lookup(),
      deliver: (record: number) => this.deliver(record),
      address: (record: number) => this.address(record),
      jumped: (record: number) => this.jumped(record),
    };
    const cold = new WebAssembly.Instance(moduleOf(modules.cold), { e: imports });
    for (let i = 0; i < modules.coldCount; i++) table.set(i, cold.exports[`f${i}`] as WasmFunction);
    const main = new WebAssembly.Instance(moduleOf(modules.main), { e: imports });
    return main.exports['run'] as () => number;
  }

  private entry(record: number) {
    return this.translator.entries[this.memory.i32[(record + RECORD.entry) >> 2]];
  }

  private microcode(record: number): number {
    const { cpu } = this;
    const { routine, instruction } = this.entry(record);
    this.setRip(record, RECORD.nextOffset);
    const allowed = !instruction.opcode.privileged || cpu.cpl === 0;
    const status = allowed ? this.routines[routine](cpu, instruction) : cpu.generalProtection();
    if (status !== STATUS.fault) return status;
    this.setRip(record, RECORD.ripOffset);
    return this.deliverFault(cpu);
  }

  /** At the end of a compiled block: the region goes on if nothing changed that it or its callers rely on. */
  regionMicrocode(record: number): number {
    const { cpu, memory } = this;
    const { words } = cpu;
    words[STATE.record >> 2] = record;
    const mode = words[STATE.mode >> 2];
    const fetchContext = words[STATE.fetchContext >> 2];
    const generation = memory.codeGeneration;
    const { changes } = cpu.mmu.buffers;
    if (this.microcode(record) === STATUS.exit) return this.leaveRegion(LEAVE.exit);
    const same =
      words[STATE.attention >> 2] === 0 &&
      words[STATE.mode >> 2] === mode &&
      words[STATE.fetchContext >> 2] === fetchContext &&
      memory.codeGeneration === generation &&
      cpu.mmu.buffers.changes === changes &&
      this.knowsPage() &&
      cpu.rip - cpu.getSigned(STATE.ripBase) === memory.i32[(record + RECORD.nextOffset) >> 2];
    return same ? 0 : this.leaveRegion(LEAVE.dispatch);
  }

  /** The interpreter looks the page up after microcode; so that both find the same in the TLB, regions do too. */
  private knowsPage(): boolean {
    const { words, mmu } = this.cpu;
    const base = STATE.ripBase >> 2;
    const low = (words[base] + words[STATE.codeBase >> 2]) | 0;
    const high = words[(STATE.codeMask >> 2) + 1] === 0 ? 0 : words[base + 1];
    return mmu.buffers.findFetch(low, high, words[STATE.fetchContext >> 2]) !== -1;
  }

  /** In the middle of a compiled block. */
  regionHelper(record: number): number {
    const { cpu, memory } = this;
    const { words } = cpu;
    words[STATE.record >> 2] = record;
    const generation = memory.codeGeneration;
    const status = this.helper(record);
    if (status === STATUS.fault)
      return this.leaveRegion(this.deliver(record) === STATUS.exit ? LEAVE.exit : LEAVE.dispatch);
    if (status === STATUS.next && memory.codeGeneration === generation) return 0;
    if (status === STATUS.afterAccess && !cpu.mmu.finishStore() && memory.codeGeneration === generation) return 0;
    words[STATE.remaining >> 2] += memory.i32[(record + RECORD.unretired) >> 2] - 1;
    this.setRip(record, RECORD.nextOffset);
    return this.leaveRegion(LEAVE.dispatch);
  }

  /** The interpreter takes the flags from where regions leave them. */
  private leaveRegion(leaving: number): number {
    const { words } = this.cpu;
    words[STATE.regionFlagKind >> 2] = 0;
    words[STATE.regionFlagA >> 2] = words[STATE.flagResult >> 2];
    words[(STATE.regionFlagA >> 2) + 1] = words[(STATE.flagResult >> 2) + 1];
    words[STATE.regionFlagB >> 2] = words[STATE.flagCarry >> 2];
    return leaving;
  }

  /** Microcode in the middle of a block: what it did to devices or to code ends the block after it. */
  private helper(record: number): number {
    const { cpu } = this;
    const { routine, instruction } = this.entry(record);
    this.setRip(record, RECORD.nextOffset);
    cpu.mmu.sideEffect = false;
    const status = this.routines[routine](cpu, instruction);
    if (status !== STATUS.next || !cpu.mmu.sideEffect) return status;
    cpu.words[STATE.afterAccess >> 2] |= AFTER.leave;
    return STATUS.afterAccess;
  }

  /** A fault in a compiled record: the rest of the block is not retired; the delivery counts as one instruction. */
  private deliver(record: number): number {
    const { cpu, memory } = this;
    assert(cpu.faulted, 'a fault is recorded');
    cpu.words[STATE.afterAccess >> 2] = 0;
    cpu.words[STATE.remaining >> 2] += memory.i32[(record + RECORD.unretired) >> 2] - 1;
    this.setRip(record, RECORD.ripOffset);
    return this.deliverFault(cpu);
  }

  private address(record: number): number {
    const { instruction } = this.entry(record);
    if (instruction.memory.base === BASE_RIP) this.setRip(record, RECORD.nextOffset);
    return addressRecord(this.cpu, instruction);
  }

  /** A region's indirect jump went to a place it did not know: RIP, while ripBase is still that of the jump. */
  private jumped(record: number): void {
    const { cpu } = this;
    const from = cpu.getSigned(STATE.ripBase);
    const host = cpu.mmu.buffers.findFetch(
      from | 0,
      Math.floor(from / 0x100000000),
      cpu.words[STATE.fetchContext >> 2],
    );
    if (host !== -1) this.jit.jumped(host, record, cpu.rip - from);
  }

  private setRip(record: number, field: number): void {
    const { cpu, memory } = this;
    const { words } = cpu;
    const low = words[STATE.ripBase >> 2] >>> 0;
    const sum = low + memory.i32[(record + field) >> 2];
    words[STATE.rip >> 2] = sum;
    words[(STATE.rip >> 2) + 1] =
      (words[(STATE.ripBase >> 2) + 1] + (sum > 0xffffffff ? 1 : 0)) & words[(STATE.codeMask >> 2) + 1];
  }

  /** Finds or makes the block at RIP: its record, 0 to look again, -1 to leave. */
  private lookup(): number {
    const { cpu, translator } = this;
    const { words } = cpu;
    if (words[STATE.remaining >> 2] <= 0) return -1;
    const mode = words[STATE.mode >> 2];
    if (translator.full) {
      translator.dropAll();
      return 0;
    }
    if (mode & MODE.code64) return this.lookupAt(cpu.rip, mode, Infinity);
    const rip = words[STATE.rip >> 2] >>> 0;
    const limit = cpu.segmentLimit(CS);
    if (rip > limit) return this.fetchFault(GENERAL_PROTECTION, 0);
    const linear = (cpu.segmentBase(CS) + rip) % 0x100000000;
    return this.lookupAt(
      linear,
      limit - rip < LONGEST_BLOCK ? mode | MODE.single : mode,
      limit === 0xffffffff ? Infinity : limit - rip,
    );
  }

  /** `room`: how many bytes after the first lie within the code segment's limit. */
  private lookupAt(linear: number, mode: number, room: number): number {
    const { cpu, translator } = this;
    if (mode & MODE.code64 && !this.canonical()) return this.fetchFault(GENERAL_PROTECTION, 0);
    const host = cpu.mmu.fetch(linear);
    if (host < 0) return host === -2 ? this.fetchFault(UNDEFINED_OPCODE, -1) : this.redirected();
    let record = translator.store.find(host, mode);
    if (record === 0 && !translator.crosses(host, mode)) record = translator.translate(host, mode);
    if (record !== 0 && this.jit.mode === 'eager') record = this.jit.compileNow(host, mode, record);
    if (record === 0) record = this.lookupCrossing(host, linear, mode);
    if (record > 0 && room < LONGEST_INSTRUCTION) {
      const length =
        this.memory.i32[(record + RECORD.nextOffset) >> 2] - this.memory.i32[(record + RECORD.ripOffset) >> 2];
      if (length - 1 > room) return this.fetchFault(GENERAL_PROTECTION, 0);
    }
    return record;
  }

  private lookupCrossing(host: number, linear: number, mode: number): number {
    const { cpu, translator } = this;
    const second = cpu.mmu.fetch(linear - (linear & 0xfff) + 0x1000);
    if (second < 0) return second === -2 ? this.fetchFault(UNDEFINED_OPCODE, -1) : this.redirected();
    return translator.translateCrossing(host, second, mode);
  }

  private canonical(): boolean {
    const top = this.cpu.words[(STATE.rip >> 2) + 1] >> 15;
    return top === 0 || top === -1;
  }

  private fetchFault(vector: number, errorCode: number): number {
    this.cpu.fault(vector, errorCode);
    return this.redirected();
  }

  /** The fetch faulted: after delivery RIP is elsewhere. */
  private redirected(): number {
    const { cpu } = this;
    cpu.words[STATE.remaining >> 2]--;
    return this.deliverFault(cpu) === STATUS.exit ? -1 : 0;
  }
}
