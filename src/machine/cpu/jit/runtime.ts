// SPDX-License-Identifier: Apache-2.0
import {
  CODE_TABLE_MODE_SHIFT,
  INSTRUCTION_TLB_ENTRIES,
  INSTRUCTION_TLB_OFFSET,
  ITLB,
  REGION_TABLE,
  REGION_TABLE_ENTRIES,
} from '../../memory/layout.ts';
import { FunctionCode, I32, I64, ModuleBuilder } from '../../wasm/encoder.ts';
import type { FunctionType } from '../../wasm/encoder.ts';
import { OP } from '../../wasm/opcodes.ts';
import { WebAssembly, moduleOf } from '../../webassembly.ts';
import type { WasmFunction } from '../../webassembly.ts';
import type { Memory } from '../../memory/memory.ts';
import { Code } from '../interpreter/code.ts';
import type { Label } from '../interpreter/code.ts';
import { STATE } from '../state.ts';
import { KINDS, pushCarry, pushResult } from './flag-kinds.ts';

/** What regions and interpreters call, as imports: (kind, a, b) -> the interpreter's pair, and the way into other regions. */
export const RUNTIME: Readonly<Record<'flagResult' | 'flagCarry' | 'findRegion' | 'fetches', FunctionType>> = {
  flagResult: { parameters: [I32, I64, I64], results: [I64] },
  flagCarry: { parameters: [I32, I64, I64], results: [I32] },
  /** (processor's area, RIP) -> the region's slot, with STATE.ripBase set for it; 0 when there is none to be entered directly. */
  findRegion: { parameters: [I32, I64], results: [I32] },
  /** (processor's area, RIP) -> whether the instruction TLB knows its page: where the interpreter would ask, so must regions. */
  fetches: { parameters: [I32, I64], results: [I32] },
};

export type RuntimeFunctions = Readonly<Record<keyof typeof RUNTIME, WasmFunction>>;

/** One instance for all processors of a machine. */
export function instantiateRuntime(memory: Memory): RuntimeFunctions {
  const { regionTable } = memory.layout;
  const bytes = emitted.get(regionTable) ?? emitRuntime(regionTable);
  emitted.set(regionTable, bytes);
  const instance = new WebAssembly.Instance(moduleOf(bytes), { e: { m: memory.wasm } });
  return instance.exports as unknown as RuntimeFunctions;
}

/** By the address of the region table, the one constant that differs between machines. */
const emitted = new Map<number, Uint8Array>();

function emitRuntime(regionTable: number): Uint8Array {
  const module = new ModuleBuilder('runtime');
  const byKind = (type: FunctionType, push: typeof pushResult): Code => {
    const code = new Code(new FunctionCode(type));
    for (const kind of KINDS) {
      code.get(0).i32(kind).op(OP.i32_eq).if();
      push(code, kind, { a: 1, b: 2 });
      code.op(OP.return).end();
    }
    return code.op(OP.unreachable);
  };
  module.define(RUNTIME.flagResult, byKind(RUNTIME.flagResult, pushResult).out, 'flagResult');
  module.define(RUNTIME.flagCarry, byKind(RUNTIME.flagCarry, pushCarry).out, 'flagCarry');
  module.define(RUNTIME.findRegion, findRegion(regionTable).out, 'findRegion');
  module.define(RUNTIME.fetches, fetches().out, 'fetches');
  return module.encode();
}

/** As the interpreter finds a block, by the instruction TLB; but in a table of its own, which is small and stays in the cache. */
function findRegion(table: number): Code {
  const code = new Code(new FunctionCode(RUNTIME.findRegion));
  const [area, rip] = [0, 1];
  const linear = code.temporary(I64);
  const entry = code.temporary(I32);
  const host = code.temporary(I32);
  const none = code.block();
  probeFetch(code, { area, rip, linear, entry }, none);
  code.get(linear).op(OP.i32_wrap_i64).get(entry);
  code
    .memory(OP.i32_load, INSTRUCTION_TLB_OFFSET + ITLB.addend)
    .op(OP.i32_add)
    .tee(host);
  code.get(host).i32(12).op(OP.i32_shr_u, OP.i32_xor);
  code.get(area).memory(OP.i32_load, STATE.mode).i32(CODE_TABLE_MODE_SHIFT).op(OP.i32_shl, OP.i32_xor);
  code
    .i32(REGION_TABLE_ENTRIES - 1)
    .op(OP.i32_and)
    .i32(4)
    .op(OP.i32_shl)
    .tee(entry);
  code
    .memory(OP.i32_load, table + REGION_TABLE.hostAddress)
    .get(host)
    .op(OP.i32_ne)
    .brIf(none);
  code.get(entry).memory(OP.i32_load, table + REGION_TABLE.mode);
  code.get(area).memory(OP.i32_load, STATE.mode).op(OP.i32_ne).brIf(none);
  code.get(area).get(rip).get(linear).i64(4095n).op(OP.i64_and, OP.i64_sub).memory(OP.i64_store, STATE.ripBase);
  code
    .get(entry)
    .memory(OP.i32_load, table + REGION_TABLE.slot)
    .op(OP.return)
    .end();
  return code.i32(0);
}

function fetches(): Code {
  const code = new Code(new FunctionCode(RUNTIME.fetches));
  const none = code.block();
  probeFetch(code, { area: 0, rip: 1, linear: code.temporary(I64), entry: code.temporary(I32) }, none);
  code.i32(1).op(OP.return).end();
  return code.i32(0);
}

interface FetchLocals {
  readonly area: number;
  readonly rip: number;
  readonly linear: number;
  readonly entry: number;
}

/** Sets the linear address and the address of the entry of the instruction TLB; branches away when that is another page's. */
export function probeFetch(code: Code, { area, rip, linear, entry }: FetchLocals, none: Label): void {
  code.get(rip).get(area).memory(OP.i64_load, STATE.codeBase).op(OP.i64_add);
  code.get(area).memory(OP.i64_load, STATE.codeMask).op(OP.i64_and).tee(linear);
  code.i64(12n).op(OP.i64_shr_u, OP.i32_wrap_i64);
  code.get(area).memory(OP.i32_load, STATE.fetchHash).op(OP.i32_xor);
  code
    .i32(INSTRUCTION_TLB_ENTRIES - 1)
    .op(OP.i32_and)
    .i32(4)
    .op(OP.i32_shl);
  code.get(area).op(OP.i32_add).tee(entry);
  code.memory(OP.i64_load, INSTRUCTION_TLB_OFFSET + ITLB.tag);
  code.get(linear).i64(-4096n).op(OP.i64_and).get(area).memory(OP.i64_load, STATE.fetchContext);
  code.op(OP.i64_or, OP.i64_ne).brIf(none);
}
