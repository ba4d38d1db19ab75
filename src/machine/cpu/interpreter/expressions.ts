// SPDX-License-Identifier: Apache-2.0
import { unreachable } from '../../../base/assert.ts';
import { OP } from '../../wasm/opcodes.ts';
import { bitsOf } from '../operations/graph.ts';
import type { BinaryOperator, Conversion, Node, Type, UnaryOperator } from '../operations/graph.ts';
import type { Lowering } from './lowering.ts';

/**
 * Pure values as WebAssembly. Integers narrower than 32 bits live zero-extended in an i32; operators whose result may
 * not fit mask it.
 */
export function lowerExpression(low: Lowering, node: Node): void {
  switch (node.op) {
    case 'const':
      return node.type === 'i64'
        ? void low.code.i64(node.value)
        : void low.code.i32(Number(BigInt.asIntN(32, node.value)));
    case 'unary':
      return lowerUnary(low, node.operator, node.a, node.type);
    case 'binary':
      return lowerBinary(low, node.operator, node.a, node.b);
    case 'convert':
      low.emit(node.a);
      return lowerConversion(low, node.how, node.a.type, node.type);
    case 'select':
      low.emit(node.a);
      low.emit(node.b);
      low.emit(node.condition);
      return node.type === 'v128' ? void low.code.op(0x1c, 1, 0x7b) : void low.code.op(OP.select);
    case 'simd':
      return lowerSimd(low, node);
    case 'condition':
      return low.condition(node.code);
    case 'carryFlag':
      return low.carryFlag();
    case 'eflags':
      return low.eflags();
    default:
      throw new Error(`not an expression: ${node.op}`);
  }
}

function mask(low: Lowering, type: Type): void {
  const bits = bitsOf(type);
  if (bits < 32) low.code.i32(2 ** bits - 1).op(OP.i32_and);
}

/** Pushes the operand sign-extended to the full width of its WebAssembly type. */
function emitSigned(low: Lowering, node: Node): void {
  low.emit(node);
  if (node.type === 'i8') low.code.op(OP.i32_extend8_s);
  if (node.type === 'i16') low.code.op(OP.i32_extend16_s);
}

function lowerUnary(low: Lowering, operator: UnaryOperator, a: Node, type: Type): void {
  const { code } = low;
  const wide = a.type === 'i64';
  const pad = 32 - bitsOf(a.type);
  switch (operator) {
    case 'not':
      low.emit(a);
      if (a.type === 'i1') code.op(OP.i32_eqz);
      else if (wide) code.i64(-1n).op(OP.i64_xor);
      else code.i32(bitsOf(a.type) === 32 ? -1 : 2 ** bitsOf(a.type) - 1).op(OP.i32_xor);
      return;
    case 'neg':
      if (wide) code.i64(0n);
      else code.i32(0);
      low.emit(a);
      code.op(wide ? OP.i64_sub : OP.i32_sub);
      return mask(low, type);
    case 'clz':
      low.emit(a);
      code.op(wide ? OP.i64_clz : OP.i32_clz);
      if (!wide && pad > 0) code.i32(pad).op(OP.i32_sub);
      return;
    case 'ctz':
      low.emit(a);
      if (!wide && pad > 0) code.i32(2 ** bitsOf(a.type)).op(OP.i32_or);
      code.op(wide ? OP.i64_ctz : OP.i32_ctz);
      return;
    case 'popcnt':
      low.emit(a);
      code.op(wide ? OP.i64_popcnt : OP.i32_popcnt);
      return;
    case 'isZero':
      low.emit(a);
      code.op(wide ? OP.i64_eqz : OP.i32_eqz);
      return;
    case 'sqrt':
      low.emit(a);
      code.op(a.type === 'f32' ? OP.f32_sqrt : OP.f64_sqrt);
      return;
    case 'nearest':
    case 'floor':
    case 'ceil':
    case 'truncate':
      low.emit(a);
      code.op(ROUND[operator][a.type === 'f32' ? 'f32' : 'f64']);
      return;
    case 'abs':
      low.emit(a);
      code.op(OP.f64_abs);
      return;
    default:
      return unreachable(operator, 'unary operator');
  }
}

// prettier-ignore
const ROUND = {
  nearest:  { f32: OP.f32_nearest, f64: OP.f64_nearest },
  floor:    { f32: OP.f32_floor,   f64: OP.f64_floor },
  ceil:     { f32: OP.f32_ceil,    f64: OP.f64_ceil },
  truncate: { f32: OP.f32_trunc,   f64: OP.f64_trunc },
} as const;

interface BinaryRule {
  readonly i32: number;
  readonly i64: number;
  readonly f32?: number;
  readonly f64?: number;
  readonly signed?: boolean;
  readonly masked?: boolean;
}

// prettier-ignore
const BINARY: Record<Exclude<BinaryOperator, 'rotl' | 'rotr'>, BinaryRule> = {
  add:  { i32: OP.i32_add,   i64: OP.i64_add,   f32: OP.f32_add, f64: OP.f64_add, masked: true },
  sub:  { i32: OP.i32_sub,   i64: OP.i64_sub,   f32: OP.f32_sub, f64: OP.f64_sub, masked: true },
  mul:  { i32: OP.i32_mul,   i64: OP.i64_mul,   f32: OP.f32_mul, f64: OP.f64_mul, masked: true },
  div:  { i32: -1,           i64: -1,           f32: OP.f32_div, f64: OP.f64_div },
  lt:   { i32: -1,           i64: -1,           f32: OP.f32_lt,  f64: OP.f64_lt },
  and:  { i32: OP.i32_and,   i64: OP.i64_and },
  or:   { i32: OP.i32_or,    i64: OP.i64_or },
  xor:  { i32: OP.i32_xor,   i64: OP.i64_xor },
  shl:  { i32: OP.i32_shl,   i64: OP.i64_shl,   masked: true },
  shr:  { i32: OP.i32_shr_u, i64: OP.i64_shr_u },
  sar:  { i32: OP.i32_shr_s, i64: OP.i64_shr_s, signed: true, masked: true },
  eq:   { i32: OP.i32_eq,    i64: OP.i64_eq,    f32: OP.f32_eq, f64: OP.f64_eq },
  ne:   { i32: OP.i32_ne,    i64: OP.i64_ne },
  ltu:  { i32: OP.i32_lt_u,  i64: OP.i64_lt_u },
  lts:  { i32: OP.i32_lt_s,  i64: OP.i64_lt_s,  signed: true },
  leu:  { i32: OP.i32_le_u,  i64: OP.i64_le_u },
  les:  { i32: OP.i32_le_s,  i64: OP.i64_le_s,  signed: true },
  divu: { i32: OP.i32_div_u, i64: OP.i64_div_u },
  divs: { i32: OP.i32_div_s, i64: OP.i64_div_s, signed: true, masked: true },
  remu: { i32: OP.i32_rem_u, i64: OP.i64_rem_u },
  rems: { i32: OP.i32_rem_s, i64: OP.i64_rem_s, signed: true, masked: true },
};

function lowerBinary(low: Lowering, operator: BinaryOperator, a: Node, b: Node): void {
  if (operator === 'rotl' || operator === 'rotr') return lowerRotate(low, operator, a, b);
  const rule = BINARY[operator];
  const push = (node: Node) => (rule.signed ? emitSigned(low, node) : low.emit(node));
  push(a);
  push(b);
  low.code.op(rule[wasmKey(a.type)] ?? -1);
  if (rule.masked) mask(low, a.type);
}

function wasmKey(type: Type): 'i32' | 'i64' | 'f32' | 'f64' {
  return type === 'i64' || type === 'f32' || type === 'f64' ? type : 'i32';
}

/** 8- and 16-bit rotates: WebAssembly has none, so the value is doubled up first. The count is below the width. */
function lowerRotate(low: Lowering, operator: 'rotl' | 'rotr', a: Node, b: Node): void {
  const { code } = low;
  const bits = bitsOf(a.type);
  if (bits < 32) {
    const value = low.inLocal(a);
    code.get(value);
    for (let filled = bits; filled < 32; filled += bits) code.get(value).i32(filled).op(OP.i32_shl, OP.i32_or);
  } else low.emit(a);
  low.emit(b);
  const wide = a.type === 'i64';
  if (operator === 'rotl') code.op(wide ? OP.i64_rotl : OP.i32_rotl);
  else code.op(wide ? OP.i64_rotr : OP.i32_rotr);
  mask(low, a.type);
}

function lowerConversion(low: Lowering, how: Conversion, from: Type, to: Type): void {
  const { code } = low;
  const floating = FLOATING[how]?.[`${from}:${to}`];
  if (floating !== undefined) return void code.op(floating);
  if (how === 'zext') return to === 'i64' ? void code.op(OP.i64_extend_i32_u) : undefined;
  if (how === 'sext') {
    if (from === 'i1') code.i32(31).op(OP.i32_shl).i32(31).op(OP.i32_shr_s);
    if (from === 'i8') code.op(OP.i32_extend8_s);
    if (from === 'i16') code.op(OP.i32_extend16_s);
    return to === 'i64' ? void code.op(OP.i64_extend_i32_s) : mask(low, to);
  }
  if (from === 'i64') code.op(OP.i32_wrap_i64);
  mask(low, to);
}

/** Conversions that have floating point on one side or both, by types. */
const FLOATING: Partial<Record<Conversion, Readonly<Record<string, number>>>> = {
  reinterpret: {
    'f32:i32': OP.i32_reinterpret_f32,
    'i32:f32': OP.f32_reinterpret_i32,
    'f64:i64': OP.i64_reinterpret_f64,
    'i64:f64': OP.f64_reinterpret_i64,
  },
  fromSigned: {
    'i32:f32': OP.f32_convert_i32_s,
    'i64:f32': OP.f32_convert_i64_s,
    'i32:f64': OP.f64_convert_i32_s,
    'i64:f64': OP.f64_convert_i64_s,
  },
  toSigned: {
    'f32:i32': OP.i32_trunc_f32_s,
    'f32:i64': OP.i64_trunc_f32_s,
    'f64:i32': OP.i32_trunc_f64_s,
    'f64:i64': OP.i64_trunc_f64_s,
  },
  promote: { 'f32:f64': OP.f64_promote_f32 },
  demote: { 'f64:f32': OP.f32_demote_f64 },
};

function lowerSimd(low: Lowering, node: Node & { op: 'simd' }): void {
  for (const arg of node.args) low.emit(arg);
  low.code.simd(node.name);
  if (node.bytes) for (const byte of node.bytes) low.code.op(byte);
  if (node.lane !== undefined) low.code.op(node.lane);
}
