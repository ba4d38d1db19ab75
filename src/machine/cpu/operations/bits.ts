// SPDX-License-Identifier: Apache-2.0
import { twoOperandForms } from './alu.ts';
import { integerType } from './graph.ts';
import type { Description, Operation, Value } from './operation.ts';

const SIZES = [16, 32, 64];

function described(
  mnemonic: string,
  signatures: readonly string[],
  describe: (o: Operation) => void,
  hot = false,
): Description {
  return { mnemonic, signatures, hot, endsBlock: false, describe };
}

/** BT BTS BTR BTC with a register or an immediate offset; a register offset into memory reaches beyond the operand. */
function bitTest(mnemonic: string, change: ((a: Value, bit: Value) => Value) | undefined): Description {
  return described(
    mnemonic,
    twoOperandForms(SIZES, ['rr', 'mr']).concat(SIZES.flatMap((b) => [`r${b}i8`, `m${b}i8`])),
    (o) => {
      const bits = o.operands[0].bits;
      const type = integerType(bits);
      const beyond = o.operands[0].kind === 'm' && o.operands[1].kind === 'r';
      const offset = o.read(1);
      const address = beyond
        ? o.operandAddress().add(
            offset
              .sext('i64')
              .sar(Math.log2(bits))
              .shl(Math.log2(bits / 8)),
          )
        : undefined;
      const probe = address && change ? o.probe(bits / 8, address, 'modify') : undefined;
      const a = probe
        ? o.loadProbed(probe, type)
        : address
          ? o.load(type, address)
          : change
            ? o.readForUpdate(0)
            : o.read(0);
      const index = offset.as(type).and(bits - 1);
      if (change) {
        const result = change(a, o.constant(type, 1).shl(index));
        if (probe) o.store(probe, result);
        else o.write(0, result);
      }
      o.setCarry(a.shr(index).as('i1'));
    },
    true,
  );
}

/** BSF and BSR leave the destination alone when the source is zero, as processors do (the manual: undefined). */
function bitScan(mnemonic: string, index: (source: Value) => Value): Description {
  return described(
    mnemonic,
    twoOperandForms(SIZES, ['rr', 'rm']),
    (o) => {
      const source = o.read(1);
      const old = o.read(0);
      o.write(0, source.isZero().select(old, index(source)));
      o.flagsOfLogic(source);
    },
    true,
  );
}

/** POPCNT, LZCNT, TZCNT: how the flags come out is in `flags`. */
function counting(mnemonic: string, compute: (o: Operation, source: Value) => Value, zeroOnly: boolean): Description {
  return described(mnemonic, twoOperandForms(SIZES, ['rr', 'rm']), (o) => {
    const source = o.read(1);
    const result = compute(o, source);
    o.write(0, result);
    if (zeroOnly) o.setEflags(source.isZero().as('i32').shl(6));
    else o.flagsOfResult(result, source.isZero(), o.constant('i1', 0));
  });
}

function whenZero(o: Operation, source: Value, value: Value): Value {
  return source.isZero().select(o.constant(source.type, source.bits), value);
}

type Pair = (o: Operation, a: Value) => { result: Value; carry: Value };

/** BLSR, BLSI, BLSMSK: VEX destination first, then the source. */
function lowestSetBit(mnemonic: string, compute: Pair): Description {
  return described(mnemonic, twoOperandForms([32, 64], ['rr', 'rm']), (o) => {
    const { result, carry } = compute(o, o.read(1));
    o.write(0, result);
    o.flagsOfResult(result, carry, o.constant('i1', 0));
  });
}

const THREE = ['rrr', 'rmr'];

function bitExtract(o: Operation): void {
  const source = o.read(1);
  const control = o.read(2);
  const start = control.and(0xff);
  const length = control.shr(8).and(0xff);
  const zero = o.constant(source.type, 0);
  const shifted = start.ltu(source.bits).select(source.shr(start), zero);
  const kept = length.ltu(source.bits).select(shifted.and(o.constant(source.type, 1).shl(length).sub(1)), shifted);
  o.write(0, kept);
  o.flagsOfLogic(kept);
}

function zeroHighBits(o: Operation): void {
  const source = o.read(1);
  const index = o.read(2).and(0xff);
  const inside = index.ltu(source.bits);
  const result = inside.select(source.and(o.constant(source.type, 1).shl(index).sub(1)), source);
  o.write(0, result);
  o.flagsOfResult(result, inside.not(), o.constant('i1', 0));
}

function shiftWithoutFlags(mnemonic: string, compute: (a: Value, n: Value) => Value): Description {
  return described(mnemonic, twoOperandForms([32, 64], THREE), (o) => {
    const source = o.read(1);
    o.write(0, compute(source, o.read(2).and(source.bits - 1)));
  });
}

/** PDEP and PEXT by the parallel-suffix method: five or six rounds, each moving bits by a power of two. */
function compressMasks(o: Operation, mask: Value): Value[] {
  const rounds = Math.log2(mask.bits);
  const moves: Value[] = [];
  let m = mask;
  let empty = mask.not().shl(1);
  for (let i = 0; i < rounds; i++) {
    let parity = empty;
    for (let s = 1; s < mask.bits; s *= 2) parity = parity.xor(parity.shl(s));
    const move = parity.and(m);
    moves.push(move);
    m = m.xor(move).or(move.shr(2 ** i));
    empty = empty.and(parity.not());
  }
  void o;
  return moves;
}

function parallelExtract(o: Operation): void {
  const mask = o.read(2);
  let x = o.read(1).and(mask);
  compressMasks(o, mask).forEach((move, i) => {
    const t = x.and(move);
    x = x.xor(t).or(t.shr(2 ** i));
  });
  o.write(0, x);
}

function parallelDeposit(o: Operation): void {
  const mask = o.read(2);
  let x = o.read(1);
  const moves = compressMasks(o, mask);
  for (let i = moves.length - 1; i >= 0; i--) {
    const t = x.shl(2 ** i);
    x = moves[i].and(t).or(moves[i].not().and(x));
  }
  o.write(0, x.and(mask));
}

/** CRC-32C, reflected polynomial, a byte at a time and a bit at a time within. */
function crc32c(o: Operation): void {
  const source = o.read(1);
  let crc = o.read(0).as('i32');
  for (let byte = 0; byte < source.bits / 8; byte++) {
    crc = crc.xor(
      source
        .shr(byte * 8)
        .as('i8')
        .as('i32'),
    );
    for (let bit = 0; bit < 8; bit++) crc = crc.shr(1).xor(crc.and(1).neg().and(0x82f63b78));
  }
  o.write(0, crc.as(integerType(o.operands[0].bits)));
}

/** ADCX and ADOX: one flag in, the same flag out, the others untouched. */
function addWithFlag(mnemonic: string, bit: number): Description {
  return described(mnemonic, twoOperandForms([32, 64], ['rr', 'rm']), (o) => {
    const b = o.read(1);
    const a = o.read(0);
    const eflags = o.eflags();
    const sum = a.add(b);
    const result = sum.add(eflags.bit(bit).as(a.type));
    const carry = sum.ltu(a).or(result.ltu(sum));
    o.write(0, result);
    o.setEflags(eflags.and(~(1 << bit)).or(carry.as('i32').shl(bit)));
  });
}

export const BITS: readonly Description[] = [
  bitTest('BT', undefined),
  bitTest('BTS', (a, bit) => a.or(bit)),
  bitTest('BTR', (a, bit) => a.and(bit.not())),
  bitTest('BTC', (a, bit) => a.xor(bit)),
  bitScan('BSF', (source) => source.ctz()),
  bitScan('BSR', (source) => source.clz().xor(source.bits - 1)),
  counting('POPCNT', (_o, source) => source.popcnt(), true),
  counting('LZCNT', (o, source) => whenZero(o, source, source.clz()), false),
  counting('TZCNT', (o, source) => whenZero(o, source, source.ctz()), false),
  described('ANDN', twoOperandForms([32, 64], ['rrr', 'rrm']), (o) => {
    const b = o.read(2);
    const result = o.read(1).not().and(b);
    o.write(0, result);
    o.flagsOfLogic(result);
  }),
  lowestSetBit('BLSR', (_o, a) => ({ result: a.sub(1).and(a), carry: a.isZero() })),
  lowestSetBit('BLSI', (_o, a) => ({ result: a.neg().and(a), carry: a.isZero().not() })),
  lowestSetBit('BLSMSK', (_o, a) => ({ result: a.sub(1).xor(a), carry: a.isZero() })),
  described('BEXTR', twoOperandForms([32, 64], THREE), bitExtract),
  described('BZHI', twoOperandForms([32, 64], THREE), zeroHighBits),
  shiftWithoutFlags('SARX', (a, n) => a.sar(n)),
  shiftWithoutFlags('SHLX', (a, n) => a.shl(n)),
  shiftWithoutFlags('SHRX', (a, n) => a.shr(n)),
  described(
    'RORX',
    [32, 64].flatMap((b) => [`r${b}r${b}i8`, `r${b}m${b}i8`]),
    (o) => {
      const source = o.read(1);
      o.write(
        0,
        source.rotr(
          o
            .read(2)
            .as(source.type)
            .and(source.bits - 1),
        ),
      );
    },
  ),
  described('PDEP', twoOperandForms([32, 64], ['rrr', 'rrm']), parallelDeposit),
  described('PEXT', twoOperandForms([32, 64], ['rrr', 'rrm']), parallelExtract),
  described(
    'CRC32',
    ['r32r8', 'r32r16', 'r32r32', 'r64r8', 'r64r64', 'r32m8', 'r32m16', 'r32m32', 'r64m8', 'r64m64'],
    crc32c,
  ),
  addWithFlag('ADCX', 0),
  addWithFlag('ADOX', 11),
];
