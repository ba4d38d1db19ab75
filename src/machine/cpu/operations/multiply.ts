// SPDX-License-Identifier: Apache-2.0
import { RAX, RDX } from '../state.ts';
import { twoOperandForms } from './alu.ts';
import type { Description, Operation, Value } from './operation.ts';

const DIVIDE_ERROR = 0;

/** High 64 bits of an unsigned product, from four products of 32-bit halves. */
function multiplyHighUnsigned(a: Value, b: Value): Value {
  const low = (v: Value): Value => v.and(0xffffffffn);
  const [a0, a1, b0, b1] = [low(a), a.shr(32), low(b), b.shr(32)];
  const middle = a1.mul(b0).add(a0.mul(b0).shr(32));
  const other = a0.mul(b1).add(low(middle));
  return a1.mul(b1).add(middle.shr(32)).add(other.shr(32));
}

/** High 64 bits of a signed product: the unsigned one, less each operand where the other is negative. */
function multiplyHighSigned(a: Value, b: Value): Value {
  return multiplyHighUnsigned(a, b).sub(a.sar(63).and(b)).sub(b.sar(63).and(a));
}

interface Product {
  readonly low: Value;
  readonly high: Value;
}

function product(a: Value, b: Value, signed: boolean): Product {
  if (a.bits === 64) return { low: a.mul(b), high: signed ? multiplyHighSigned(a, b) : multiplyHighUnsigned(a, b) };
  const extend = (v: Value): Value => (signed ? v.sext('i64') : v.as('i64'));
  const whole = extend(a).mul(extend(b));
  return { low: whole.as(a.type), high: whole.shr(a.bits).as(a.type) };
}

/** MUL and one-operand IMUL: AX, or DX:AX and its wider forms. CF = OF = the high half is more than an extension. */
function wideMultiply(mnemonic: string, signed: boolean): Description {
  return {
    mnemonic,
    signatures: [8, 16, 32, 64].flatMap((b) => [`r${b}`, `m${b}`]),
    hot: false,
    endsBlock: false,
    describe(o) {
      const b = o.read(0);
      const a = o.register(RAX, b.type);
      const { low, high } = product(a, b, signed);
      const overflow = high.ne(signed ? low.sar(low.bits - 1) : o.constant(low.type, 0));
      if (b.bits === 8) o.writeRegister(RAX, low.as('i16').or(high.as('i16').shl(8)));
      else {
        o.writeRegister(RAX, low);
        o.writeRegister(RDX, high);
      }
      o.flagsOfResult(low, overflow, overflow);
    },
  };
}

/** Two- and three-operand IMUL: the product cut to the operand size. */
const signedMultiply: Description = {
  mnemonic: 'IMUL',
  signatures: [...twoOperandForms([16, 32, 64], ['rr', 'rm', 'rri', 'rmi'])],
  hot: true,
  endsBlock: false,
  describe(o) {
    const [a, b] = o.operands.length === 3 ? [o.read(1), o.read(2)] : [o.read(0), o.read(1)];
    const { low, high } = product(a, b, true);
    const overflow = high.ne(low.sar(low.bits - 1));
    o.write(0, low);
    o.flagsOfResult(low, overflow, overflow);
  },
};

/** MULX: no flags; the first operand gets the high half, and wins when both are the same. */
const mulx: Description = {
  mnemonic: 'MULX',
  signatures: twoOperandForms([32, 64], ['rrr', 'rrm']),
  hot: false,
  endsBlock: false,
  describe(o) {
    const source = o.read(2);
    const { low, high } = product(o.register(RDX, source.type), source, false);
    o.write(1, low);
    o.write(0, high);
  },
};

interface Quotient {
  readonly quotient: Value;
  readonly remainder: Value;
}

/**
 * 128 by 64 bits unsigned, schoolbook with two 32-bit digits; each trial digit is at most two too large.
 * The caller has made sure that high < divisor, so the quotient fits.
 */
function divideWide(o: Operation, high: Value, low: Value, divisor: Value): Quotient {
  const shift = divisor.clz();
  const d = divisor.shl(shift);
  const [d1, d0] = [d.shr(32), d.and(0xffffffffn)];
  const spill = shift.isZero().select(o.constant('i64', 0), low.shr(o.constant('i64', 64).sub(shift)));
  const n = high.shl(shift).or(spill);
  const rest = low.shl(shift);
  const first = trialDigit(o, n, rest.shr(32), d, d1, d0);
  const second = trialDigit(o, first.remainder, rest.and(0xffffffffn), d, d1, d0);
  return { quotient: first.quotient.shl(32).add(second.quotient), remainder: second.remainder.shr(shift) };
}

function trialDigit(o: Operation, n: Value, next: Value, d: Value, d1: Value, d0: Value): Quotient {
  const base = o.constant('i64', 0x100000000n);
  let q = n.divu(d1);
  let r = n.remu(d1);
  for (let i = 0; i < 2; i++) {
    const fits = r.ltu(base);
    const tooLarge = base
      .leu(q)
      .or(r.shl(32).or(next).ltu(q.mul(d0)))
      .and(fits);
    q = tooLarge.select(q.sub(1), q);
    r = tooLarge.select(r.add(d1), r);
  }
  return { quotient: q, remainder: n.shl(32).or(next).sub(q.mul(d)) };
}

function readDividend(o: Operation, type: Value['type']): { high: Value; low: Value } {
  if (type === 'i8') {
    const ax = o.register(RAX, 'i16');
    return { high: ax.shr(8).as('i8'), low: ax.as('i8') };
  }
  return { high: o.register(RDX, type), low: o.register(RAX, type) };
}

function writeQuotient(o: Operation, { quotient, remainder }: Quotient): void {
  if (quotient.bits === 8) o.writeRegister(RAX, quotient.as('i16').or(remainder.as('i16').shl(8)));
  else {
    o.writeRegister(RAX, quotient);
    o.writeRegister(RDX, remainder);
  }
}

function unsignedDivide(o: Operation): void {
  const divisor = o.read(0);
  const { high, low } = readDividend(o, divisor.type);
  o.fault(divisor.leu(high), DIVIDE_ERROR);
  if (divisor.bits === 64) return writeQuotient(o, divideWide(o, high, low, divisor));
  const whole = high.as('i64').shl(divisor.bits).or(low.as('i64'));
  const d = divisor.as('i64');
  writeQuotient(o, { quotient: whole.divu(d).as(divisor.type), remainder: whole.remu(d).as(divisor.type) });
}

/** Signed division by magnitudes; the remainder takes the dividend's sign. */
function signedDivide(o: Operation): void {
  const divisor = o.read(0);
  const { high, low } = readDividend(o, divisor.type);
  const negative = high.msb();
  const sameSign = negative.xor(divisor.msb()).not();
  const type = divisor.type;
  const magnitude = divisor.msb().select(divisor.neg(), divisor);
  const borrow = low.isZero().not().as(type);
  const [h, l] = [negative.select(high.neg().sub(borrow), high), negative.select(low.neg(), low)];
  o.fault(magnitude.leu(h), DIVIDE_ERROR);
  const { quotient, remainder } = divisor.bits === 64 ? divideWide(o, h, l, magnitude) : divideNarrow(h, l, magnitude);
  const limit = o.constant(type, 1n << BigInt(divisor.bits - 1));
  o.fault(sameSign.select(limit.leu(quotient), limit.ltu(quotient)), DIVIDE_ERROR);
  writeQuotient(o, {
    quotient: sameSign.select(quotient, quotient.neg()),
    remainder: negative.select(remainder.neg(), remainder),
  });
}

function divideNarrow(high: Value, low: Value, divisor: Value): Quotient {
  const whole = high.as('i64').shl(divisor.bits).or(low.as('i64'));
  const d = divisor.as('i64');
  return { quotient: whole.divu(d).as(divisor.type), remainder: whole.remu(d).as(divisor.type) };
}

function divide(mnemonic: string, describe: (o: Operation) => void): Description {
  return {
    mnemonic,
    signatures: [8, 16, 32, 64].flatMap((b) => [`r${b}`, `m${b}`]),
    hot: false,
    endsBlock: false,
    describe,
  };
}

export const MULTIPLICATIONS: readonly Description[] = [
  wideMultiply('MUL', false),
  wideMultiply('IMUL', true),
  signedMultiply,
  mulx,
  divide('DIV', unsignedDivide),
  divide('IDIV', signedDivide),
];
