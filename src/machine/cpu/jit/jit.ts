// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../../base/assert.ts';
import { I32, ModuleBuilder } from '../../wasm/encoder.ts';
import type { FunctionType } from '../../wasm/encoder.ts';
import { WebAssembly } from '../../webassembly.ts';
import type { WasmFunction } from '../../webassembly.ts';
import type { HostAddress, Memory } from '../../memory/memory.ts';
import { HANDLER, RECORD } from '../interpreter/record.ts';
import type { FormPlace } from '../interpreter/module.ts';
import type { Translator } from '../translation/translator.ts';
import { FormIndex } from './form-index.ts';
import { Heat, ORDINARY, SOON } from './heat.ts';
import { REGION_TYPE } from './region-emitter.ts';
import type { RegionImports } from './region-emitter.ts';
import { RegionFunction } from './region-function.ts';
import { formRegion, lastRecord } from './region-former.ts';
import type { RecordSource } from './region-former.ts';
import { JumpProfile } from './jump-profile.ts';
import type { Region } from './region.ts';
import { RUNTIME, instantiateRuntime } from './runtime.ts';
import type { RuntimeFunctions } from './runtime.ts';
import { RegionTable } from './region-table.ts';

/** Off; on; and for tests: `soon`, so that short programs become regions, and `eager`, each block before it runs. */
export type JitMode = 'off' | 'on' | 'soon' | 'eager';

/** For machines whose description does not say; tests set it. */
export const JIT_DEFAULT: { mode: JitMode } = { mode: 'on' };

/** Regions in one module: V8 has a price per module. */
const BATCH = 8;
/** Samples after which a batch is compiled although it is not full. */
const PATIENCE = 40;

/** Microcode that goes elsewhere, or waits. */
const LEAVES = /^(IRET|SYS|INT|RET|JMP|CALL|HLT|MWAIT|VMLAUNCH|VMRESUME|VMCALL|VMFUNC|UD|BOUND|RSM)/;

interface Wanted {
  readonly host: HostAddress;
  readonly mode: number;
  readonly head: number;
}

interface Compiled extends Wanted {
  readonly slot: number;
  region: Region;
}

/** What compiled code asks of its processor's engine, state and flags written back: 0 to go on, else LEAVE. */
export interface RegionCalls {
  regionMicrocode(record: number): number;
  regionHelper(record: number): number;
}
const CALL_TYPE: FunctionType = { parameters: [I32, I32], results: [I32] };

/** Decides what is compiled, compiles it, and puts regions in the place of their first blocks. */
export class Jit {
  readonly mode: JitMode;
  readonly table: RegionTable;
  readonly runtime: RuntimeFunctions;
  /** Counts and milliseconds, for the run's summary and for tests. */
  readonly counts = {
    regions: 0,
    recompiled: 0,
    instructions: 0,
    modules: 0,
    bytes: 0,
    dropped: 0,
    emitMs: 0,
    compileMs: 0,
    samples: 0,
    samplesInRegions: 0,
  };
  readonly heat: Heat;
  /** Microcode for regions, by processor: (area, record) -> 0, or how the region is left. */
  private readonly engines = new Map<number, RegionCalls>();
  private readonly calls = {
    regionMicrocode: (area: number, record: number): number => this.engineOf(area).regionMicrocode(record),
    regionHelper: (area: number, record: number): number => this.engineOf(area).regionHelper(record),
  };
  private readonly memory: Memory;
  private readonly translator: Translator;
  private readonly forms: FormIndex;
  private readonly jumps: JumpProfile;
  private readonly clock: () => number;
  private readonly byPage = new Map<number, Compiled[]>();
  private queue: Wanted[] = [];
  private waited = 0;

  constructor(
    mode: JitMode,
    memory: Memory,
    translator: Translator,
    places: ReadonlyMap<string, FormPlace>,
    clock: () => number = () => 0,
  ) {
    this.mode = mode;
    this.memory = memory;
    this.table = new RegionTable(memory);
    this.translator = translator;
    this.forms = new FormIndex(places);
    this.runtime = instantiateRuntime(memory);
    this.clock = clock;
    this.jumps = new JumpProfile(memory);
    this.heat = new Heat(mode === 'soon' ? SOON : ORDINARY);
    translator.store.regions = this;
  }

  /** Each engine, by its processor's area. */
  attach(area: number, engine: RegionCalls): void {
    this.engines.set(area, engine);
  }
  private engineOf(area: number): RegionCalls {
    const engine = this.engines.get(area);
    assert(engine !== undefined, 'an engine for each area');
    return engine;
  }

  /** The interpreter was found at a block that is not compiled. `head`: its first record. */
  sampled(host: HostAddress, mode: number, head: number): void {
    const count = this.memory.i32[(head + RECORD.unretired) >> 2];
    if (this.heat.sample(head, count) && this.isCurrent({ host, mode, head })) this.queue.push({ host, mode, head });
    if (this.queue.length > 0 && (this.queue.length >= BATCH || this.mode === 'soon' || ++this.waited >= PATIENCE))
      this.compileQueue();
  }

  /** Compiles a block now; its stub, or the block itself when there is no room. */
  compileNow(host: HostAddress, mode: number, head: number): number {
    if (this.handler(head) === HANDLER.region) return head;
    this.compile([{ host, mode, head }]);
    return this.translator.store.find(host, mode);
  }

  /** A page's blocks are gone. */
  pageDropped(page: number): void {
    for (const { host, mode, slot, head, region } of this.byPage.get(page) ?? []) {
      this.table.withdraw(host, mode);
      this.table.free(slot);
      this.jumps.free(region.blocks);
      this.jumps.forget(region.blocks);
      this.heat.forget(head);
      this.counts.dropped++;
    }
    this.byPage.delete(page);
  }
  allDropped(): void {
    for (const page of [...this.byPage.keys()]) this.pageDropped(page);
    this.heat.clear();
    this.jumps.clear();
    this.queue = [];
  }

  /** Compiled code jumped by this record to a place in `host`'s page, or elsewhere (`offset` outside of it). */
  jumped(host: HostAddress, record: number, offset: number): void {
    if (!this.jumps.jumped(record, offset)) return;
    const holds = ({ region }: Compiled): boolean => region.blocks.some((block) => block.last === record);
    for (const compiled of (this.byPage.get(host >>> 12) ?? []).filter(holds)) this.recompile(compiled);
  }

  private recompile(compiled: Compiled): void {
    const [{ region, code }] = this.build([compiled]);
    this.jumps.free(compiled.region.blocks);
    compiled.region = region;
    this.table.replace(compiled.slot, code);
    this.counts.recompiled++;
  }

  private compileQueue(): void {
    const batch = this.queue.filter((wanted) => this.isCurrent(wanted));
    this.queue = [];
    this.waited = 0;
    if (batch.length > 0) this.compile(batch);
  }

  private isCurrent({ host, mode, head }: Wanted): boolean {
    return this.translator.store.blockAt(host, mode) === head && this.handler(head) !== HANDLER.region;
  }

  private compile(batch: readonly Wanted[]): void {
    this.build(batch).forEach(({ region, code }, i) => this.install(batch[i], region, code));
  }

  /** Forms, emits and instantiates regions, all in one module. */
  private build(batch: readonly Wanted[]): { readonly region: Region; readonly code: WasmFunction }[] {
    const begin = this.clock();
    const module = new ModuleBuilder('regions');
    const imports = this.declareImports(module);
    const regions = batch.map((wanted) => formRegion(this.source(wanted), wanted.head));
    for (const [i, region] of regions.entries())
      module.define(
        REGION_TYPE,
        new RegionFunction(region, this.forms, this.memory.i32, imports, this.jumps).emit(),
        `r${i}`,
        'region',
      );
    const bytes = module.encode();
    const emitted = this.clock();
    const functions = this.instantiate(bytes);
    this.counts.modules++;
    this.counts.bytes += bytes.length;
    this.counts.emitMs += emitted - begin;
    this.counts.compileMs += this.clock() - emitted;
    return regions.map((region, i) => ({ region, code: functions[`r${i}`] }));
  }

  private declareImports(module: ModuleBuilder): RegionImports {
    module.importTable();
    return {
      flagResult: module.importFunction('flagResult', RUNTIME.flagResult),
      flagCarry: module.importFunction('flagCarry', RUNTIME.flagCarry),
      findRegion: module.importFunction('findRegion', RUNTIME.findRegion),
      fetches: module.importFunction('fetches', RUNTIME.fetches),
      microcode: module.importFunction('regionMicrocode', CALL_TYPE),
      helper: module.importFunction('regionHelper', CALL_TYPE),
      regionType: module.typeIndex(REGION_TYPE),
    };
  }

  private instantiate(bytes: Uint8Array<ArrayBuffer>): Record<string, WasmFunction> {
    const imports = { m: this.memory.wasm, t: this.table.primary, ...this.runtime, ...this.calls };
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { e: imports });
    return instance.exports as Record<string, WasmFunction>;
  }

  private install(wanted: Wanted, region: Region, code: WasmFunction): void {
    const { host, mode, head } = wanted;
    const slot = this.table.add(code);
    const stub = this.translator.makeStub(head, slot);
    if (stub === 0) return this.table.free(slot);
    this.translator.store.replace(host, mode, stub);
    this.relink(host, mode, head, stub);
    this.table.publish(host, mode, slot);
    const page = host >>> 12;
    this.byPage.set(page, [...(this.byPage.get(page) ?? []), { ...wanted, slot, region }]);
    for (const block of region.blocks) this.heat.covered(block.head);
    this.counts.regions++;
    this.counts.instructions += region.size;
  }

  /** Links of the page that lead to the block lead to its stub from now on. */
  private relink(host: HostAddress, mode: number, head: number, stub: number): void {
    const { i32 } = this.memory;
    for (const other of this.translator.store.blocksOfPage(host >>> 12, mode)) {
      const last = lastRecord(i32, this.forms, this.original(other));
      if (last === 0) continue;
      for (const cell of [RECORD.operand0, RECORD.operand1])
        if (i32[(last + cell) >> 2] === head) i32[(last + cell) >> 2] = stub;
    }
  }

  private source({ host, mode }: Wanted): RecordSource {
    const page = host - (host & 0xfff);
    return {
      words: this.memory.i32,
      forms: this.forms,
      blockAt: (offset) => this.original(this.translator.store.blockAt(page + offset, mode)),
      original: (record) => this.original(record),
      goesOn: (record) => this.goesOn(record),
      jumpTargets: (record) => this.jumps.targetsOf(record),
      heat: (record) => this.heat.of(record),
      eager: this.mode === 'eager',
    };
  }

  private goesOn(record: number): boolean {
    const { instruction } = this.translator.entries[this.memory.i32[(record + RECORD.entry) >> 2]];
    return !LEAVES.test(instruction.opcode.mnemonic);
  }

  private handler(record: number): number {
    return this.memory.i32[(record + RECORD.handler) >> 2];
  }
  private original(record: number): number {
    return record !== 0 && this.handler(record) === HANDLER.region
      ? this.memory.i32[(record + RECORD.base) >> 2]
      : record;
  }
}
