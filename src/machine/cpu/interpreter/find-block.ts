// SPDX-License-Identifier: Apache-2.0
import {
  CODE_TABLE,
  CODE_TABLE_ENTRIES,
  CODE_TABLE_MODE_SHIFT,
  INSTRUCTION_TLB_ENTRIES,
  INSTRUCTION_TLB_OFFSET,
  ITLB,
} from '../../memory/layout.ts';
import { OP } from '../../wasm/opcodes.ts';
import { STATE } from '../state.ts';
import type { Code } from './code.ts';

/** Locals of the big function, and where its tables are. */
export interface BlockLookup {
  readonly code: Code;
  readonly area: number;
  readonly codeTable: number;
  /** Set: the record of the block, or 0; the linear address of RIP; its host address if the TLB knows it. */
  readonly pc: number;
  readonly linear: number;
  readonly host: number;
  /** Scratch. */
  readonly entry: number;
}

/** RIP -> linear -> host address by the instruction TLB -> record by the code table. */
export function lookUpBlock({ code, area, codeTable, pc, linear, host, entry }: BlockLookup): void {
  const load = (offset: number, opcode: number = OP.i32_load): Code => code.i32(0).memory(opcode, area + offset);
  load(STATE.rip, OP.i64_load);
  load(STATE.codeBase, OP.i64_load).op(OP.i64_add);
  load(STATE.codeMask, OP.i64_load).op(OP.i64_and).tee(linear);
  code.i64(12n).op(OP.i64_shr_u, OP.i32_wrap_i64);
  load(STATE.fetchHash)
    .op(OP.i32_xor)
    .i32(INSTRUCTION_TLB_ENTRIES - 1)
    .op(OP.i32_and)
    .i32(4)
    .op(OP.i32_shl)
    .set(entry);
  code.i32(0).set(pc);
  code.get(linear).i64(-4096n).op(OP.i64_and);
  load(STATE.fetchContext, OP.i64_load).op(OP.i64_or);
  code
    .get(entry)
    .memory(OP.i64_load, area + INSTRUCTION_TLB_OFFSET + ITLB.tag)
    .op(OP.i64_eq);
  code.if();
  code
    .get(linear)
    .op(OP.i32_wrap_i64)
    .get(entry)
    .memory(OP.i32_load, area + INSTRUCTION_TLB_OFFSET + ITLB.addend)
    .op(OP.i32_add)
    .tee(host);
  code.get(host).i32(12).op(OP.i32_shr_u, OP.i32_xor);
  load(STATE.mode)
    .i32(CODE_TABLE_MODE_SHIFT)
    .op(OP.i32_shl, OP.i32_xor)
    .i32(CODE_TABLE_ENTRIES - 1)
    .op(OP.i32_and)
    .i32(4)
    .op(OP.i32_shl)
    .tee(entry);
  code
    .memory(OP.i32_load, codeTable + CODE_TABLE.hostAddress)
    .get(host)
    .op(OP.i32_eq);
  code.get(entry).memory(OP.i32_load, codeTable + CODE_TABLE.mode);
  load(STATE.mode).op(OP.i32_eq, OP.i32_and);
  code.if();
  code
    .get(entry)
    .memory(OP.i32_load, codeTable + CODE_TABLE.record)
    .set(pc);
  code.end().end();
}
