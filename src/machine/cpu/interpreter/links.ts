// SPDX-License-Identifier: Apache-2.0
import { OP } from '../../wasm/opcodes.ts';
import { STATE } from '../state.ts';
import type { Code, Label } from './code.ts';
import { RECORD } from './record.ts';

/** What code about links is emitted over: locals of the big function. */
export interface LinkLocals {
  readonly code: Code;
  readonly area: number;
  readonly pc: number;
  /** pc for the taken side of a branch and pc + 4 for the other; afterwards the address of the cell, or 0. */
  readonly cell: number;
  /** What the cell holds. */
  readonly link: number;
}

/** Pushes the target's offset from ripBase. */
export function pushTargetOffset({ code, pc, cell }: LinkLocals): void {
  code.get(pc).memory(OP.i64_load, RECORD.displacement);
  code.get(pc).memory(OP.i64_load32_u, RECORD.nextOffset);
  code.get(cell).get(pc).op(OP.i32_eq, OP.select);
}

/** A link into another page is followed while its stamp is the processor's; ripBase moves by whole pages. */
export function followStamped(locals: LinkLocals, block: Label): void {
  const { code, area, pc, cell, link } = locals;
  code.get(link).i32(3).op(OP.i32_gt_u);
  code.get(cell).memory(OP.i32_load, RECORD.stamp0);
  code.i32(0).memory(OP.i32_load, area + STATE.fetchStamp);
  code.op(OP.i32_eq, OP.i32_and).if_(() => {
    code
      .i32(0)
      .i32(0)
      .memory(OP.i64_load, area + STATE.ripBase);
    pushTargetOffset(locals);
    code
      .i64(-4096n)
      .op(OP.i64_and, OP.i64_add)
      .memory(OP.i64_store, area + STATE.ripBase);
    code.get(link).i32(2).op(OP.i32_xor).set(pc).br(block);
  });
}

/** The block that a branch led to is remembered in its link cell, with the stamp where it wants one. */
export function patchCell({ code, area, pc, cell, link }: LinkLocals): void {
  const kind = link;
  code.get(cell).if_(() => {
    code.get(cell).memory(OP.i32_load, 0).i32(2).op(OP.i32_and).set(kind);
    code.get(cell).get(pc).get(kind).op(OP.i32_or).memory(OP.i32_store, 0);
    code.get(kind).if_(() => {
      code
        .get(cell)
        .i32(0)
        .memory(OP.i32_load, area + STATE.fetchStamp)
        .memory(OP.i32_store, RECORD.stampFromCell);
    });
  });
}
