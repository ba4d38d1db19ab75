// SPDX-License-Identifier: Apache-2.0

import { AF, CF, OF, PF, SF, ZF, formsOf, type Row } from '../form.ts';

// Undefined flags: flags-affected.ts says what the manual allows.

// prettier-ignore
const arithmetic: readonly (readonly [string, number, number])[] = [
  // mnemonic, opcode row, undefined flags
  ['add', 0x00, 0],  ['or', 0x08, AF],  ['adc', 0x10, 0],  ['sbb', 0x18, 0],
  ['and', 0x20, AF], ['sub', 0x28, 0],  ['xor', 0x30, AF], ['cmp', 0x38, 0],
];

const byte = (value: number): string => value.toString(16).toUpperCase().padStart(2, '0');

const arithmeticRows: Row[] = arithmetic.flatMap(([mnemonic, first, undefinedFlags]): Row[] => {
  const lock = mnemonic !== 'cmp';
  const digit = `/${first >> 3}`;
  return [
    [mnemonic, `${byte(first)} /r`, { sizes: 'b', lock, undefined: undefinedFlags }],
    [mnemonic, `${byte(first + 1)} /r`, { sizes: 'wdq', lock, undefined: undefinedFlags }],
    [mnemonic, `${byte(first + 2)} /r`, { sizes: 'b', undefined: undefinedFlags }],
    [mnemonic, `${byte(first + 3)} /r`, { sizes: 'wdq', undefined: undefinedFlags }],
    [mnemonic, `${byte(first + 4)} ib`, { sizes: 'b', undefined: undefinedFlags }],
    [mnemonic, `${byte(first + 5)} iz`, { sizes: 'wdq', undefined: undefinedFlags }],
    [mnemonic, `80 ${digit} ib`, { sizes: 'b', lock, undefined: undefinedFlags }],
    [mnemonic, `81 ${digit} iz`, { sizes: 'wdq', lock, undefined: undefinedFlags }],
    [mnemonic, `83 ${digit} ib`, { sizes: 'wdq', lock, undefined: undefinedFlags }],
  ];
});

const conditions = ['o', 'no', 'b', 'nb', 'z', 'nz', 'be', 'nbe', 's', 'ns', 'p', 'np', 'l', 'nl', 'le', 'nle'];

const conditionRows: Row[] = conditions.flatMap((name, n): Row[] => [
  [`cmov${name}`, `0F ${byte(0x40 + n)} /r`, { sizes: 'wdq' }],
  [`set${name}`, `0F ${byte(0x90 + n)} /0`, { sizes: 'b' }],
]);

const MULTIPLY = SF | ZF | AF | PF;
const DIVIDE = CF | PF | AF | ZF | SF | OF;

// prettier-ignore
const rows: Row[] = [
  ['test',  '84 /r',       { sizes: 'b',   undefined: AF }],
  ['test',  '85 /r',       { sizes: 'wdq', undefined: AF }],
  ['test',  'A8 ib',       { sizes: 'b',   undefined: AF }],
  ['test',  'A9 iz',       { sizes: 'wdq', undefined: AF }],
  ['test',  'F6 /0 ib',    { sizes: 'b',   undefined: AF }],
  ['test',  'F7 /0 iz',    { sizes: 'wdq', undefined: AF }],
  ['test',  'F6 /1 ib',    { sizes: 'b',   undefined: AF }],
  ['test',  'F7 /1 iz',    { sizes: 'wdq', undefined: AF }],
  ['not',   'F6 /2',       { sizes: 'b',   lock: true }],
  ['not',   'F7 /2',       { sizes: 'wdq', lock: true }],
  ['neg',   'F6 /3',       { sizes: 'b',   lock: true }],
  ['neg',   'F7 /3',       { sizes: 'wdq', lock: true }],
  ['inc',   'FE /0',       { sizes: 'b',   lock: true }],
  ['inc',   'FF /0',       { sizes: 'wdq', lock: true }],
  ['dec',   'FE /1',       { sizes: 'b',   lock: true }],
  ['dec',   'FF /1',       { sizes: 'wdq', lock: true }],
  ['mul',   'F6 /4',       { sizes: 'b',   undefined: MULTIPLY }],
  ['mul',   'F7 /4',       { sizes: 'wdq', undefined: MULTIPLY }],
  ['imul',  'F6 /5',       { sizes: 'b',   undefined: MULTIPLY }],
  ['imul',  'F7 /5',       { sizes: 'wdq', undefined: MULTIPLY }],
  ['imul',  '0F AF /r',    { sizes: 'wdq', undefined: MULTIPLY }],
  ['imul',  '69 /r iz',    { sizes: 'wdq', undefined: MULTIPLY }],
  ['imul',  '6B /r ib',    { sizes: 'wdq', undefined: MULTIPLY }],
  ['div',   'F6 /6',       { sizes: 'b',   undefined: DIVIDE, prepare: (d) => prepareDividend(d, false) }],
  ['div',   'F7 /6',       { sizes: 'wdq', undefined: DIVIDE, prepare: (d) => prepareDividend(d, false) }],
  ['idiv',  'F6 /7',       { sizes: 'b',   undefined: DIVIDE, prepare: (d) => prepareDividend(d, true) }],
  ['idiv',  'F7 /7',       { sizes: 'wdq', undefined: DIVIDE, prepare: (d) => prepareDividend(d, true) }],
  ['mov',   '88 /r',       { sizes: 'b' }],
  ['mov',   '89 /r',       { sizes: 'wdq' }],
  ['mov',   '8A /r',       { sizes: 'b' }],
  ['mov',   '8B /r',       { sizes: 'wdq' }],
  ['mov',   'B0+r ib',     { sizes: 'b' }],
  ['mov',   'B8+r iv',     { sizes: 'wdq' }],
  ['mov',   'C6 /0 ib',    { sizes: 'b' }],
  ['mov',   'C7 /0 iz',    { sizes: 'wdq' }],
  ['mov',   'A0',          { sizes: 'b',   emit: absolute(0xa0) }],
  ['mov',   'A1',          { sizes: 'wdq', emit: absolute(0xa1) }],
  ['mov',   'A2',          { sizes: 'b',   emit: absolute(0xa2) }],
  ['mov',   'A3',          { sizes: 'wdq', emit: absolute(0xa3) }],
  ['movzx', '0F B6 /r',    { sizes: 'wdq', memory: 1 }],
  ['movzx', '0F B7 /r',    { sizes: 'wdq',  memory: 2 }],
  ['movsx', '0F BE /r',    { sizes: 'wdq', memory: 1 }],
  ['movsx', '0F BF /r',    { sizes: 'wdq',  memory: 2 }],
  ['movsxd', '63 /r',      { sizes: 'w',   rm: 'register' }],
  ['movsxd', '63 /r',      { sizes: 'dq',  memory: 4 }],
  ['movbe', '0F 38 F0 /r', { sizes: 'wdq', rm: 'memory' }],
  ['movbe', '0F 38 F1 /r', { sizes: 'wdq', rm: 'memory' }],
  ['movnti', '0F C3 /r',   { sizes: 'dq',  rm: 'memory' }],
  ['bswap', '0F C8+r',     { sizes: 'wdq' }],
  ['lea',   '8D /r',       { sizes: 'wdq', rm: 'memory', prepare: (d) => { d.targetBytes = undefined; d.target = d.random.u64(); } }],
  ['xchg',  '86 /r',       { sizes: 'b',   lock: true }],
  ['xchg',  '87 /r',       { sizes: 'wdq', lock: true }],
  ['xchg',  '90+r',        { sizes: 'wdq' }],
  ['xadd',  '0F C0 /r',    { sizes: 'b',   lock: true }],
  ['xadd',  '0F C1 /r',    { sizes: 'wdq', lock: true }],
  ['cmpxchg', '0F B0 /r',  { sizes: 'b',   lock: true, prepare: prepareCompare }],
  ['cmpxchg', '0F B1 /r',  { sizes: 'wdq', lock: true, prepare: prepareCompare }],
  ['cmpxchg8b', '0F C7 /1',        { memory: 8, rm: 'memory', lock: true, prepare: prepareWideCompare(4) }],
  ['cmpxchg16b', 'REX.W 0F C7 /1', { memory: 16, align: 16, rm: 'memory', lock: true, prepare: prepareWideCompare(8) }],
  ['cbw',   '98',          { sizes: 'wdq' }],
  ['cwd',   '99',          { sizes: 'wdq' }],
  ['lahf',  '9F'],
  ['sahf',  '9E'],
  ['cmc',   'F5'],
  ['clc',   'F8'],
  ['stc',   'F9'],
  ['cld',   'FC'],
  ['std',   'FD'],
  ['xlat',  'D7',          { prepare: prepareTranslate }],
  ['adcx',  '66 0F 38 F6 /r', { memory: 4 }],
  ['adcx',  '66 REX.W 0F 38 F6 /r'],
  ['adox',  'F3 0F 38 F6 /r', { memory: 4 }],
  ['adox',  'F3 REX.W 0F 38 F6 /r'],
  ['crc32', 'F2 0F 38 F0 /r', { memory: 1 }],
  ['crc32', 'F2 REX.W 0F 38 F0 /r', { memory: 1 }],
  ['crc32', 'F2 0F 38 F1 /r', { memory: 4 }],
  ['crc32', 'F2 REX.W 0F 38 F1 /r'],
  ['crc32', '66 F2 0F 38 F1 /r', { memory: 2 }],
  ['mulx',  'VEX.F2.0F38.W0 F6 /r', { sizes: 'dq' }],
];

type D = Parameters<NonNullable<NonNullable<Row[2]>['prepare']>>[0];

/** Half of the dividends are small enough that the quotient usually fits; the divisor stays random. */
function prepareDividend(d: D, signed: boolean): void {
  d.reserved.add(0).add(2);
  if (d.random.chance(35)) return;
  const bits = d.size * 8;
  const high = signed && d.random.chance(50) ? -1n : 0n;
  const low = d.register(0);
  const small = signed ? BigInt.asUintN(bits, high ^ (low >> 1n)) : low;
  if (d.size === 1) d.setRegister(0, (d.state.general[0] & ~0xffffn) | BigInt.asUintN(16, (high << 8n) | small));
  else {
    const mask = BigInt.asUintN(64, -1n << BigInt(bits));
    d.setRegister(0, (d.state.general[0] & mask) | small);
    d.setRegister(2, (d.state.general[2] & mask) | BigInt.asUintN(bits, high));
  }
}

/** Half of the comparisons are equal. */
function prepareCompare(d: D): void {
  d.reserved.add(0);
  if (d.random.chance(50)) return;
  const equal = d.register(0);
  if (d.rm === undefined)
    d.targetBytes?.forEach((_, n, bytes) => (bytes[n] = Number((equal >> BigInt(8 * n)) & 0xffn)));
  else d.setRegister(d.rm, d.state.general[0]);
}

function prepareWideCompare(half: number) {
  return (d: D): void => {
    for (const n of [0, 1, 2, 3]) d.reserved.add(n);
    if (d.random.chance(50) || !d.targetBytes) return;
    for (let n = 0; n < half; n++) {
      d.targetBytes[n] = Number((d.state.general[0] >> BigInt(8 * n)) & 0xffn);
      d.targetBytes[half + n] = Number((d.state.general[2] >> BigInt(8 * n)) & 0xffn);
    }
  };
}

/** RBX such that RBX + AL is the chosen address. */
function prepareTranslate(d: D): void {
  d.setRegister(3, BigInt.asUintN(64, d.chooseAddress(1) - d.register(0, 1)));
}

/** MOV between the accumulator and a 64-bit absolute address. */
function absolute(opcode: number) {
  return (d: D): number[] => {
    if (d.targetBytes) d.patch(d.target, d.targetBytes);
    const prefix = d.size === 2 ? [0x66] : d.size === 8 ? [0x48] : [];
    return [...prefix, opcode, ...Array.from({ length: 8 }, (_, n) => Number((d.target >> BigInt(8 * n)) & 0xffn))];
  };
}

export const INTEGER_FORMS = formsOf('integer', [...arithmeticRows, ...rows, ...conditionRows]);
