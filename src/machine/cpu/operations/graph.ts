// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../../base/assert.ts';
import type { SimdName } from '../../wasm/opcodes.ts';

/**
 * What an instruction means, as data: a list of statements over typed values, built once per instruction form by a
 * description (alu.ts and its neighbours) and lowered by each back end. Pure values are expression nodes; everything
 * that reads or changes the machine is a statement, in order.
 */
export type Type = 'i1' | 'i8' | 'i16' | 'i32' | 'i64' | 'v128' | 'f32' | 'f64';

/** To an integral value; `nearest` is ties to even. */
export type Rounding = 'nearest' | 'floor' | 'ceil' | 'truncate';

export type UnaryOperator = 'not' | 'neg' | 'clz' | 'ctz' | 'popcnt' | 'isZero' | 'sqrt' | 'abs' | Rounding;
// prettier-ignore
export type BinaryOperator =
  | 'add' | 'sub' | 'mul' | 'and' | 'or' | 'xor' | 'shl' | 'shr' | 'sar' | 'rotl' | 'rotr'
  | 'eq' | 'ne' | 'ltu' | 'lts' | 'leu' | 'les' | 'divu' | 'divs' | 'remu' | 'rems' | 'div' | 'lt';

/**
 * Where a register operand is found: a field of the decoded record (`add` bytes into the register), or a fixed place in
 * the state block.
 */
export type Place = { readonly slot: 0 | 1 | 2; readonly add?: number } | { readonly offset: number };

/**
 * Between widths of integers; `reinterpret` keeps the bits. `fromSigned` and `toSigned` (truncating; the value must fit)
 * lead from integers to floating point and back, `promote` and `demote` from one format to the other.
 */
export type Conversion = 'zext' | 'sext' | 'trunc' | 'reinterpret' | 'fromSigned' | 'toSigned' | 'promote' | 'demote';

/** How an access is meant; the order decides nothing, the names are those of the fault rules. */
export type Intent = 'read' | 'write' | 'modify';

export type Node = (
  | { readonly op: 'const'; readonly value: bigint }
  | { readonly op: 'unary'; readonly operator: UnaryOperator; readonly a: Node }
  | { readonly op: 'binary'; readonly operator: BinaryOperator; readonly a: Node; readonly b: Node }
  | { readonly op: 'convert'; readonly how: Conversion; readonly a: Node }
  | { readonly op: 'select'; readonly condition: Node; readonly a: Node; readonly b: Node }
  | {
      readonly op: 'simd';
      readonly name: SimdName;
      readonly args: readonly Node[];
      readonly lane: number | undefined;
      readonly bytes: Uint8Array | undefined;
    }
  | { readonly op: 'read'; readonly place: Place }
  | { readonly op: 'immediate' }
  | { readonly op: 'nextRip' }
  /** Virtual time when this instruction has retired, in ticks. */
  | { readonly op: 'ticks' }
  | { readonly op: 'operandAddress' }
  /** `direct`: escapes unless the bytes are RAM that the TLB knows and may be read without further ado. */
  | { readonly op: 'load'; readonly address: Node; readonly stack: boolean; readonly direct: boolean }
  | {
      readonly op: 'probe';
      readonly address: Node;
      readonly bytes: number;
      readonly intent: Intent;
      readonly stack: boolean;
    }
  | { readonly op: 'loadProbed'; readonly probe: Node }
  | { readonly op: 'condition'; readonly code: number }
  | { readonly op: 'conditionOperand' }
  | { readonly op: 'carryFlag' }
  | { readonly op: 'eflags' }
) & { readonly type: Type; uses: number };

/** How the arithmetic flags come out; each back end keeps them its own way. */
export type FlagsUpdate =
  | { readonly kind: 'add' | 'sub'; readonly a: Node; readonly b: Node; readonly result: Node }
  | { readonly kind: 'logic'; readonly result: Node }
  | { readonly kind: 'increment' | 'decrement'; readonly a: Node; readonly result: Node }
  /** ZF SF PF from the result, CF and OF given, AF cleared. */
  | { readonly kind: 'result'; readonly result: Node; readonly carry: Node; readonly overflow: Node }
  | { readonly kind: 'carry'; readonly carry: Node }
  /** The order of two numbers: ZF and CF given, the others cleared. */
  | { readonly kind: 'order'; readonly equal: Node; readonly less: Node }
  | { readonly kind: 'carryOverflow'; readonly carry: Node; readonly overflow: Node }
  /** All six from a value in the layout of EFLAGS. */
  | { readonly kind: 'eflags'; readonly value: Node };

export type Statement =
  | { readonly kind: 'let'; readonly node: Node }
  | { readonly kind: 'write'; readonly place: Place; readonly value: Node; readonly extend: boolean }
  | { readonly kind: 'store'; readonly probe: Node; readonly value: Node }
  | { readonly kind: 'flags'; readonly update: FlagsUpdate }
  | { readonly kind: 'fault'; readonly condition: Node; readonly vector: number; readonly errorCode: number }
  /** If the condition holds nothing of this operation happens: the exact microcode does the instruction instead. */
  | { readonly kind: 'escape'; readonly condition: Node }
  | { readonly kind: 'if'; readonly condition: Node; readonly then: readonly Statement[] }
  /** Ends the block: to the record's target when the condition holds (or always), else to the next instruction. */
  | { readonly kind: 'branch'; readonly condition: Node | undefined }
  | { readonly kind: 'jump'; readonly target: Node };

const BITS: Record<Type, number> = { i1: 1, i8: 8, i16: 16, i32: 32, i64: 64, v128: 128, f32: 32, f64: 64 };

export function bitsOf(type: Type): number {
  return BITS[type];
}

export function integerType(bits: number): Type {
  const type = ({ 1: 'i1', 8: 'i8', 16: 'i16', 32: 'i32', 64: 'i64', 128: 'v128' } as const)[bits as 1];
  assert(type !== undefined, `no type of ${bits} bits`);
  return type;
}

/** A handle on a node, with the arithmetic descriptions are written in. */
export class Value {
  readonly node: Node;
  private readonly graph: Graph;

  constructor(graph: Graph, node: Node) {
    this.graph = graph;
    this.node = node;
  }

  get type(): Type {
    return this.node.type;
  }
  get bits(): number {
    return BITS[this.node.type];
  }

  add(b: Value | number): Value {
    return this.binary('add', b);
  }
  sub(b: Value | number): Value {
    return this.binary('sub', b);
  }
  mul(b: Value | number): Value {
    return this.binary('mul', b);
  }
  and(b: Value | number | bigint): Value {
    return this.binary('and', b);
  }
  or(b: Value | number | bigint): Value {
    return this.binary('or', b);
  }
  xor(b: Value | number | bigint): Value {
    return this.binary('xor', b);
  }
  shl(b: Value | number): Value {
    return this.binary('shl', b);
  }
  shr(b: Value | number): Value {
    return this.binary('shr', b);
  }
  sar(b: Value | number): Value {
    return this.binary('sar', b);
  }
  rotl(b: Value | number): Value {
    return this.binary('rotl', b);
  }
  rotr(b: Value | number): Value {
    return this.binary('rotr', b);
  }
  divu(b: Value): Value {
    return this.binary('divu', b);
  }
  /** Of floating-point numbers. */
  div(b: Value): Value {
    return this.binary('div', b);
  }
  divs(b: Value): Value {
    return this.binary('divs', b);
  }
  remu(b: Value): Value {
    return this.binary('remu', b);
  }
  rems(b: Value): Value {
    return this.binary('rems', b);
  }
  eq(b: Value | number): Value {
    return this.compare('eq', b);
  }
  ne(b: Value | number): Value {
    return this.compare('ne', b);
  }
  ltu(b: Value | number): Value {
    return this.compare('ltu', b);
  }
  lts(b: Value | number): Value {
    return this.compare('lts', b);
  }
  /** Of floating-point numbers: no if one is a NaN. */
  lt(b: Value): Value {
    return this.compare('lt', b);
  }
  leu(b: Value | number): Value {
    return this.compare('leu', b);
  }
  les(b: Value | number): Value {
    return this.compare('les', b);
  }
  not(): Value {
    return this.unary('not', this.type);
  }
  neg(): Value {
    return this.unary('neg', this.type);
  }
  clz(): Value {
    return this.unary('clz', this.type);
  }
  ctz(): Value {
    return this.unary('ctz', this.type);
  }
  popcnt(): Value {
    return this.unary('popcnt', this.type);
  }
  sqrt(): Value {
    return this.unary('sqrt', this.type);
  }
  /** A floating-point number rounded to an integral value. */
  rounded(how: Rounding): Value {
    return this.unary(how, this.type);
  }
  isZero(): Value {
    return this.unary('isZero', 'i1');
  }

  /** The most significant bit, as i1. */
  msb(): Value {
    return this.shr(this.bits - 1).as('i1');
  }
  bit(n: number): Value {
    return this.shr(n).as('i1');
  }

  /** Zero-extended or cut to another integer type. */
  as(type: Type): Value {
    if (type === this.type) return this;
    return this.convert(BITS[type] > this.bits ? 'zext' : 'trunc', type);
  }
  sext(type: Type): Value {
    return type === this.type ? this : this.convert('sext', type);
  }
  reinterpret(type: Type): Value {
    return this.convert('reinterpret', type);
  }
  /** A signed integer as floating point, rounded to nearest. */
  toFloat(type: 'f32' | 'f64'): Value {
    return this.convert('fromSigned', type);
  }
  /** Floating point cut to a signed integer; the value must fit. */
  toSigned(type: 'i32' | 'i64'): Value {
    return this.convert('toSigned', type);
  }
  /** Floating point in the other format, rounded to nearest. */
  inFormat(type: 'f32' | 'f64'): Value {
    return this.convert(type === 'f64' ? 'promote' : 'demote', type);
  }
  /** The WebAssembly SIMD operation with this as its first operand. */
  simd(name: SimdName, ...others: readonly Value[]): Value {
    return this.graph.simd(name, [this, ...others]);
  }
  /** A splat, or one lane taken out or replaced, of a lane shape such as `i32x4`. */
  lane(name: SimdName, lane: number, ...others: readonly Value[]): Value {
    return this.graph.simd(name, [this, ...others], lane);
  }
  /** Bytes chosen from this (0 to 15) and another vector (16 to 31). */
  shuffle(other: Value, bytes: readonly number[]): Value {
    return this.graph.simd('i8x16_shuffle', [this, other], undefined, bytes);
  }

  /** this (an i1) ? a : b */
  select(a: Value, b: Value): Value {
    assert(this.type === 'i1' && a.type === b.type, 'select of unlike types');
    return this.graph.value({
      op: 'select',
      condition: use(this.node),
      a: use(a.node),
      b: use(b.node),
      type: a.type,
      uses: 0,
    });
  }

  private convert(how: Conversion, type: Type): Value {
    return this.graph.value({ op: 'convert', how, a: use(this.node), type, uses: 0 });
  }
  private unary(operator: UnaryOperator, type: Type): Value {
    return this.graph.value({ op: 'unary', operator, a: use(this.node), type, uses: 0 });
  }
  private binary(operator: BinaryOperator, b: Value | number | bigint, type = this.type): Value {
    const other = b instanceof Value ? b : this.graph.constant(this.type, b);
    assert(other.type === this.type, `${operator} of ${this.type} and ${other.type}`);
    return this.graph.value({ op: 'binary', operator, a: use(this.node), b: use(other.node), type, uses: 0 });
  }
  private compare(operator: BinaryOperator, b: Value | number): Value {
    return this.binary(operator, b, 'i1');
  }
}

export function use(node: Node): Node {
  node.uses++;
  return node;
}

function typeOfSimd(name: SimdName): Type {
  if (name === 'v128_any_true') return 'i1';
  if (name === 'i64x2_extract_lane') return 'i64';
  return name.includes('extract_lane') || name.includes('bitmask') ? 'i32' : 'v128';
}

/** Collects the statements of one form; pure nodes are listed too, so that shared ones get a place of their own. */
export class Graph {
  statements: Statement[] = [];

  value(node: Node): Value {
    if (node.op !== 'const') this.statements.push({ kind: 'let', node });
    return new Value(this, node);
  }

  constant(type: Type, value: number | bigint): Value {
    const bits = BITS[type];
    return this.value({ op: 'const', value: BigInt.asUintN(bits, BigInt(value)), type, uses: 0 });
  }

  simd(name: SimdName, args: readonly Value[], lane?: number, bytes?: readonly number[]): Value {
    const nodes = args.map((arg) => use(arg.node));
    return this.value({
      op: 'simd',
      name,
      args: nodes,
      lane,
      bytes: bytes && Uint8Array.from(bytes),
      type: typeOfSimd(name),
      uses: 0,
    });
  }
  /** A vector that is a constant, given as 16 bytes. */
  vector(bytes: readonly number[]): Value {
    assert(bytes.length === 16, 'a vector has 16 bytes');
    return this.simd('v128_const', [], undefined, bytes);
  }

  /** Collects what `body` states into a list of its own. */
  nested(body: () => void): Statement[] {
    const outer = this.statements;
    this.statements = [];
    body();
    const inner = this.statements;
    this.statements = outer;
    return inner;
  }
}
