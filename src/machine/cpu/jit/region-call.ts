// SPDX-License-Identifier: Apache-2.0
import { I32, I64 } from '../../wasm/encoder.ts';
import { OP } from '../../wasm/opcodes.ts';
import type { BranchStatement } from '../interpreter/lowering.ts';
import { HANDLER, NEVER_LINKED, RECORD } from '../interpreter/record.ts';
import { STATE } from '../state.ts';
import type { RegionEmitter } from './region-emitter.ts';
import { LEAVE } from './region.ts';
import { probeFetch } from './runtime.ts';
import type { RegionBlock } from './region.ts';

/** So deep may calls from region to region go before they unwind: JavaScript's stack is not endless. */
const DEEPEST = 100;

/**
 * A near call, its return address pushed, as a call of the callee's region; when that returns to where a return is to be
 * expected the region goes on, else everything unwinds. Nothing is in locals only while the callee runs.
 */
export function emitCall(emitter: RegionEmitter, block: RegionBlock, statement: BranchStatement): void {
  const { code, frame, words } = emitter;
  const slot = code.temporary(I32);
  const link = words[(block.last + RECORD.operand0) >> 2];
  const leave = (): void => leaveForCallee(emitter, block, statement);
  code.get(frame.depth).i32(DEEPEST).op(OP.i32_gt_u).if_(leave);
  if (statement.kind === 'branch' && link !== NEVER_LINKED) slotOfLink(emitter, block, slot, leave);
  else slotOfTarget(emitter, statement, slot, leave);
  emitter.writeBack();
  code.get(frame.area).get(frame.depth).i32(1).op(OP.i32_add).get(slot).callIndirect(emitter.imports.regionType);
  code.tee(slot).i32(LEAVE.returned).op(OP.i32_ne);
  code.get(frame.area).memory(OP.i64_load, STATE.rip);
  code
    .get(frame.ripBase)
    .i64(BigInt(words[(block.last + RECORD.nextOffset) >> 2]))
    .op(OP.i64_add, OP.i64_ne, OP.i32_or);
  code.if_(() => code.get(slot).op(OP.return));
  // The interpreter looks the page up at each return; so that both find the same in the TLB, this does too.
  const known = code.block();
  const unknown = code.block();
  const locals = { area: frame.area, rip: frame.ripBase, linear: code.temporary(I64), entry: code.temporary(I32) };
  probeFetch(code, locals, unknown);
  code.br(known).end();
  code.i32(LEAVE.dispatch).op(OP.return).end();
  code.get(frame.area).get(frame.ripBase).memory(OP.i64_store, STATE.ripBase);
  emitter.enter();
  emitter.lowering.kind = undefined;
}

/** The callee is not compiled: the interpreter goes there. */
function leaveForCallee(emitter: RegionEmitter, block: RegionBlock, statement: BranchStatement): void {
  if (statement.kind === 'branch') return emitter.leave(block.last | LEAVE.taken);
  emitter.lowering.storeState('i64', STATE.rip, () => emitter.lowering.emit(statement.target));
  emitter.leave(LEAVE.dispatch);
}

/** Within the page: what the call's link leads to, if that is a region. */
function slotOfLink({ code }: RegionEmitter, block: RegionBlock, slot: number, leave: () => void): void {
  code
    .i32(0)
    .memory(OP.i32_load, block.last + RECORD.operand0)
    .tee(slot);
  code.memory(OP.i32_load, RECORD.handler).i32(HANDLER.region).op(OP.i32_ne);
  code.get(slot).i32(1).op(OP.i32_le_u, OP.i32_or).if_(leave);
  code.get(slot).memory(OP.i32_load, RECORD.extra).set(slot);
}

/** Elsewhere: whatever is mapped there now. */
function slotOfTarget(emitter: RegionEmitter, statement: BranchStatement, slot: number, leave: () => void): void {
  const { code, frame, lowering } = emitter;
  code.get(frame.area);
  if (statement.kind === 'jump') lowering.emit(statement.target);
  else code.get(frame.ripBase).i64(lowering.field64(RECORD.displacement)).op(OP.i64_add);
  code.call(emitter.imports.findRegion).tee(slot).op(OP.i32_eqz).if_(leave);
}
