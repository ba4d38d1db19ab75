// SPDX-License-Identifier: Apache-2.0
import { roundToIntegral } from '../softfloat/convert.ts';
import { SHAPES } from './unit.ts';
import type { SseFloatInstruction, Shape } from './unit.ts';

/** Bits of the immediate. See: SDM Table 4-18 Rounding Modes and Encoding of Rounding Control (RC) Field. */
const IMMEDIATE = { rounding: 3, fromMxcsr: 4, suppressInexact: 8 } as const;

function round({ suffix, format, lanes, bytes }: Shape): SseFloatInstruction {
  return {
    mnemonic: `ROUND${suffix}`,
    sourceBytes: bytes,
    destination: 'xmm',
    run(unit, _destination, source, immediate) {
      const { env } = unit;
      const rounding = (immediate & IMMEDIATE.fromMxcsr) === 0 ? immediate & IMMEDIATE.rounding : env.rounding;
      const quietly = (immediate & IMMEDIATE.suppressInexact) !== 0;
      for (let lane = 0; lane < lanes; lane++)
        unit.put(lane, format, roundToIntegral(env, format, unit.element(source, lane, format), rounding, quietly));
    },
  };
}

export const ROUND: readonly SseFloatInstruction[] = SHAPES.map(round);
