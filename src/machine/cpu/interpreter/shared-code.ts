// SPDX-License-Identifier: Apache-2.0
import { FunctionCode, I32, I64 } from '../../wasm/encoder.ts';
import type { FunctionType, ModuleBuilder } from '../../wasm/encoder.ts';
import { OP } from '../../wasm/opcodes.ts';
import { STATE } from '../state.ts';
import { Code } from './code.ts';
import type { Label } from './code.ts';
import { lowerCondition } from './flags.ts';
import { RecordLowering } from './lower.ts';
import type { Surroundings } from './lower.ts';
import { RECORD } from './record.ts';

/** What the big function and the cold functions have in common. */
export const TAKES_I32: FunctionType = { parameters: [I32], results: [I32] };

export interface Helpers {
  readonly slowAccess: number;
  readonly raise: number;
  readonly finish: number;
  readonly evaluateCondition: number;
}

/** The functions both modules need: slow accesses with the engine's locals written back, and run-time conditions. */
export function defineHelpers(
  module: ModuleBuilder,
  area: number,
  imports: { access: number; raise: number; finish: number },
): Helpers {
  const slowType: FunctionType = { parameters: [I32, I32, I64, I32], results: [I32] };
  const slow = new Code(new FunctionCode(slowType));
  slow
    .i32(0)
    .get(0)
    .memory(OP.i32_store, area + STATE.record);
  slow
    .i32(0)
    .get(1)
    .memory(OP.i32_store, area + STATE.remaining);
  slow.get(2).op(OP.i32_wrap_i64).get(2).i64(32n).op(OP.i64_shr_u, OP.i32_wrap_i64).get(3).call(imports.access);
  const slowAccess = module.define(slowType, slow.out, undefined, 'slow access');
  const condition = new Code(new FunctionCode(TAKES_I32));
  const low = new RecordLowering({ code: condition, area } as Surroundings);
  const labels: Label[] = Array.from({ length: 16 }, () => condition.block());
  condition.get(0).brTable([...labels].reverse(), labels[0]);
  for (let code = 0; code < 16; code++) {
    condition.end();
    lowerCondition(low, code);
    condition.op(OP.return);
  }
  condition.op(OP.unreachable);
  const evaluateCondition = module.define(TAKES_I32, condition.out, undefined, 'condition');
  return { slowAccess, raise: imports.raise, finish: imports.finish, evaluateCondition };
}

export function importShared(module: ModuleBuilder): { access: number; raise: number; finish: number } {
  return {
    access: module.importFunction('access', { parameters: [I32, I32, I32], results: [I32] }),
    raise: module.importFunction('raise', { parameters: [I32, I32], results: [] }),
    finish: module.importFunction('finish', { parameters: [], results: [I32] }),
  };
}

/** Writes the RIP a branch or jump leads to. */
export function storeTarget(
  statement: { kind: 'branch' | 'jump'; condition?: unknown; target?: unknown },
  low: RecordLowering,
): void {
  const branch = statement as Parameters<Surroundings['branch']>[0];
  low.storeState('i64', STATE.rip, () => {
    if (branch.kind === 'jump') return low.emit(branch.target);
    low.loadState('i64', STATE.ripBase);
    low.loadRecord(OP.i64_load, RECORD.displacement);
    if (branch.condition) {
      low.loadRecord(OP.i64_load32_u, RECORD.nextOffset);
      low.emit(branch.condition);
      low.code.op(OP.select);
    }
    low.code.op(OP.i64_add);
    low.loadState('i64', STATE.codeMask);
    low.code.op(OP.i64_and);
  });
}
