// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../../base/assert.ts';
import { AES } from '../operations/aes.ts';
import { ALU } from '../operations/alu.ts';
import { ATOMICS } from '../operations/atomic.ts';
import { BITS } from '../operations/bits.ts';
import { CARRYLESS } from '../operations/carryless.ts';
import { CONTROL } from '../operations/control.ts';
import { FLOAT_CONVERSIONS } from '../operations/float-convert.ts';
import { FLOAT_IMMEDIATES } from '../operations/float-immediate.ts';
import { FLOAT_PACKED } from '../operations/float-packed.ts';
import { FLOAT_SCALARS } from '../operations/float-scalar.ts';
import { FUSED, describeFused } from '../operations/fused.ts';
import { MOVES } from '../operations/move.ts';
import { MULTIPLICATIONS } from '../operations/multiply.ts';
import { Operation } from '../operations/operation.ts';
import type { Description } from '../operations/operation.ts';
import { SHIFTS } from '../operations/shift.ts';
import { SYSTEM_CALLS } from '../operations/system-calls.ts';
import { TIME } from '../operations/time.ts';
import { VECTOR_INTEGERS } from '../operations/vector-integer.ts';
import { VECTOR_LANES } from '../operations/vector-lanes.ts';
import { VECTOR_MOVES } from '../operations/vector-move.ts';
import { VECTOR_SHIFTS } from '../operations/vector-shift.ts';
import { VECTOR_SHUFFLES } from '../operations/vector-shuffle.ts';

/** One instruction in one combination of operand kinds and sizes: what a handler is made for. */
export interface Form {
  /** `ADD:r64m64`; with `~` for its variant without index, and `CMP+4:r64r64` for a fused pair. */
  readonly key: string;
  readonly signature: string;
  /** Belongs into the big function. */
  readonly hot: boolean;
  readonly endsBlock: boolean;
  /** May leave the instruction to microcode, whose entry its records must name. */
  readonly escapes: boolean;
  /** Ends its block without a target of its own: the next instruction follows. */
  readonly goesOn: boolean;
  /** The memory operand is base + displacement, nothing else. */
  readonly simpleAddress: boolean;
  /** Two instructions in one record: link cells take the places of the register operands, which move. */
  readonly fused: boolean;
  readonly describe: (operation: Operation) => void;
}

const VECTORS = [
  ...VECTOR_MOVES,
  ...VECTOR_INTEGERS,
  ...VECTOR_SHIFTS,
  ...VECTOR_SHUFFLES,
  ...VECTOR_LANES,
  ...AES,
  ...CARRYLESS,
];

const FLOATS = [...FLOAT_SCALARS, ...FLOAT_PACKED, ...FLOAT_CONVERSIONS, ...FLOAT_IMMEDIATES];

export const DESCRIPTIONS: readonly Description[] = [
  ...ALU,
  ...MOVES,
  ...SHIFTS,
  ...MULTIPLICATIONS,
  ...BITS,
  ...ATOMICS,
  ...CONTROL,
  ...SYSTEM_CALLS,
  ...TIME,
  ...VECTORS,
  ...FLOATS,
];

/** 16-bit arithmetic and 8-bit carries are rare in 64-bit systems: they make room for what is not. */
function staysHot(mnemonic: string, signature: string): boolean {
  if (/^r16/.test(signature) && /^MOV[SZ]X$/.test(mnemonic)) return false;
  if (signature.includes('16') && !/^(MOV|MOVZX|MOVSX|CMP|TEST|RET64)$/.test(mnemonic)) return false;
  return !/^(ADC|SBB)$/.test(mnemonic) || !/8/.test(signature);
}

/** Instructions whose memory forms without index are worth a handler of their own. */
const SIMPLE = /^(MOV|MOVZX|MOVSX|MOVSXD|CMP|TEST|ADD|SUB|AND|OR|LEA):(?!.*16)(?=.*m)/;

export function formsOf(descriptions: readonly Description[]): Form[] {
  const plain = descriptions.flatMap(
    ({ mnemonic, signatures, hot, endsBlock, escapes = false, goesOn = false, describe }) =>
      signatures.map((signature): Form => ({
        key: `${mnemonic}:${signature}`,
        signature,
        hot: hot && staysHot(mnemonic, signature),
        endsBlock,
        escapes,
        goesOn,
        simpleAddress: false,
        fused: false,
        describe,
      })),
  );
  const simple = plain
    .filter((form) => form.hot && SIMPLE.test(form.key))
    .map((form) => ({ ...form, key: `${form.key}~`, simpleAddress: true }));
  const fused = FUSED.map((row): Form => ({
    key: `${row.mnemonic}+${row.condition}:${row.signature}`,
    signature: row.signature,
    hot: true,
    endsBlock: true,
    escapes: false,
    goesOn: false,
    simpleAddress: false,
    fused: true,
    describe: (o) => describeFused(row, o),
  }));
  return [...plain, ...simple, ...fused];
}

/** Builds the statements of a form. */
export function describeForm(form: Form): Operation {
  const operation = new Operation(form.signature);
  form.describe(operation);
  assert(form.escapes || !operation.escapes, `${form.key} may escape, and does not say so`);
  return operation;
}
