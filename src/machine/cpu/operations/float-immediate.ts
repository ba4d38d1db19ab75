// SPDX-License-Identifier: Apache-2.0
import {
  DOUBLE,
  SINGLE,
  anyOf,
  denormalLanes,
  escapeUnusualMode,
  isDenormal,
  magnitude,
  nanLanes,
} from './float-proof.ts';
import type { FloatFormat } from './float-proof.ts';
import { packedOperand } from './float-packed.ts';
import { escaping, scalarOperand, writeScalar } from './float-scalar.ts';
import type { Description, Operation, Value } from './operation.ts';

/** Comparison to a mask, and rounding: an immediate says which. */

/**
 * Bits 1:0 choose equal, less, less or equal, unordered (which escapes, so never here); bit 2 negates.
 * See: SDM Table 3-1 Comparison Predicate for CMPPD and CMPPS Instructions.
 */
function chosen(immediate: Value, none: Value, equal: Value, less: Value, either: Value): Value {
  const second = immediate.bit(1);
  const first = immediate.bit(0);
  return second.select(first.select(none, either), first.select(less, equal));
}

function compareScalar(format: FloatFormat) {
  return (o: Operation): void => {
    const b = scalarOperand(o, 1, format);
    const a = scalarOperand(o, 0, format);
    const less = a.lt(b);
    const equal = a.eq(b);
    const either = less.or(equal);
    o.escape(either.or(b.lt(a)).not());
    o.escape(isDenormal(magnitude(a, format), format).or(isDenormal(magnitude(b, format), format)));
    const immediate = o.read(2);
    const holds = chosen(immediate, o.constant('i1', 0), equal, less, either).xor(immediate.bit(2));
    writeScalar(o, holds.sext(format.integer));
  };
}

function comparePacked(format: FloatFormat) {
  return (o: Operation): void => {
    const b = packedOperand(o, 1);
    const a = o.read(0);
    const denormals = denormalLanes(o, a, format).simd('v128_or', denormalLanes(o, b, format));
    o.escape(anyOf(denormals, nanLanes(a, format), nanLanes(b, format)));
    const immediate = o.read(2);
    const none = o.vector(Array.from({ length: 16 }, () => 0));
    const less = a.simd(`${format.shape}_lt`, b);
    const holds = chosen(immediate, none, a.simd(`${format.shape}_eq`, b), less, a.simd(`${format.shape}_le`, b));
    o.write(0, holds.simd('v128_xor', immediate.bit(2).select(none.simd('v128_not'), none)));
  };
}

/** Bits 1:0 are the rounding mode, bit 2 asks for that of MXCSR (nearest, or it escapes), bit 3 keeps PE as it is. */
function round(format: FloatFormat) {
  return (o: Operation): void => {
    const value = scalarOperand(o, 1, format);
    const immediate = o.read(2);
    const mode = immediate.bit(2).select(o.constant('i8', 0), immediate.and(3));
    const up = mode.bit(0);
    const result = mode
      .bit(1)
      .select(
        up.select(value.rounded('truncate'), value.rounded('ceil')),
        up.select(value.rounded('floor'), value.rounded('nearest')),
      );
    escapeUnusualMode(o, () => result.eq(value).or(immediate.bit(3)));
    o.escape(value.eq(value).not());
    writeScalar(o, result);
  };
}

export const FLOAT_IMMEDIATES: readonly Description[] = [
  ...escaping('CMPSD', ['x128x128i8', 'x128m64i8'], compareScalar(DOUBLE)),
  ...escaping('CMPSS', ['x128x128i8', 'x128m32i8'], compareScalar(SINGLE)),
  ...escaping('CMPPD', ['x128x128i8', 'x128m128i8'], comparePacked(DOUBLE)),
  ...escaping('CMPPS', ['x128x128i8', 'x128m128i8'], comparePacked(SINGLE)),
  ...escaping('ROUNDSD', ['x128x128i8', 'x128m64i8'], round(DOUBLE)),
  ...escaping('ROUNDSS', ['x128x128i8', 'x128m32i8'], round(SINGLE)),
];
