// SPDX-License-Identifier: Apache-2.0
import { OP } from '../../wasm/opcodes.ts';
import { LEAVE } from '../jit/region.ts';
import { STATE } from '../state.ts';
import type { Code } from './code.ts';
import { RECORD } from './record.ts';

/** Locals and indices of the big function. */
export interface RegionEntryFrame {
  readonly code: Code;
  readonly area: number;
  /** Locals: the region's stub, then the record that it left; how it left; what remains of the budget. */
  readonly pc: number;
  readonly link: number;
  readonly remaining: number;
  readonly regionType: number;
  readonly flagResult: number;
  readonly flagCarry: number;
}

/** Runs the region of the stub in `pc`. Then `link` is one of LEAVE, and `pc` the record that it is about. */
export function callRegion(frame: RegionEntryFrame): void {
  const { code, area, pc, link, remaining } = frame;
  code
    .i32(0)
    .get(remaining)
    .memory(OP.i32_store, area + STATE.remaining);
  flagsToRegion(frame);
  code.i32(area).i32(0).get(pc).memory(OP.i32_load, RECORD.extra).callIndirect(frame.regionType).set(link);
  code
    .i32(0)
    .memory(OP.i32_load, area + STATE.remaining)
    .set(remaining);
  flagsFromRegion(frame);
  code.get(link).i32(~LEAVE.mask).op(OP.i32_and).set(pc);
  code.get(link).i32(LEAVE.mask).op(OP.i32_and).set(link);
}

function flagsToRegion({ code, area }: RegionEntryFrame): void {
  code
    .i32(0)
    .i32(0)
    .memory(OP.i32_store, area + STATE.regionFlagKind);
  code
    .i32(0)
    .i32(0)
    .memory(OP.i64_load, area + STATE.flagResult);
  code.memory(OP.i64_store, area + STATE.regionFlagA);
  code
    .i32(0)
    .i32(0)
    .memory(OP.i64_load32_u, area + STATE.flagCarry);
  code.memory(OP.i64_store, area + STATE.regionFlagB);
}

function flagsFromRegion({ code, area, flagResult, flagCarry }: RegionEntryFrame): void {
  const push = (): void => {
    code.i32(0).memory(OP.i32_load, area + STATE.regionFlagKind);
    code.i32(0).memory(OP.i64_load, area + STATE.regionFlagA);
    code.i32(0).memory(OP.i64_load, area + STATE.regionFlagB);
  };
  code.i32(0);
  push();
  code
    .call(flagResult)
    .memory(OP.i64_store, area + STATE.flagResult)
    .i32(0);
  push();
  code.call(flagCarry).memory(OP.i32_store, area + STATE.flagCarry);
}
