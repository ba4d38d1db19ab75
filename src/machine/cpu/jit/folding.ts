// SPDX-License-Identifier: Apache-2.0
import { bitsOf } from '../operations/graph.ts';
import type { Node, Type } from '../operations/graph.ts';

/** Values of one instruction that are known when it is compiled: those made of its immediate and of constants. */
export class Folding {
  private readonly values = new Map<Node, bigint | undefined>();
  private readonly immediate: (type: Type) => bigint | undefined;

  constructor(immediate: (type: Type) => bigint | undefined) {
    this.immediate = immediate;
  }

  clear(): void {
    this.values.clear();
  }

  /** The node's value, not negative; undefined when it is not known or not an integer. */
  constant(node: Node): bigint | undefined {
    if (node.op === 'const') return node.value;
    if (node.op === 'immediate') return this.immediate(node.type);
    if (node.op !== 'unary' && node.op !== 'binary' && node.op !== 'convert') return undefined;
    if (this.values.has(node)) return this.values.get(node);
    const value = this.compute(node);
    this.values.set(node, value);
    return value;
  }

  private compute(node: Node & { op: 'unary' | 'binary' | 'convert' }): bigint | undefined {
    const bits = bitsOf(node.type);
    if (bits > 64) return undefined;
    const a = this.constant(node.a);
    if (a === undefined) return undefined;
    const width = bitsOf(node.a.type);
    if (node.op === 'convert') {
      if (!/^(zext|sext|trunc)$/.test(node.how)) return undefined;
      return BigInt.asUintN(bits, node.how === 'sext' ? BigInt.asIntN(width, a) : a);
    }
    if (node.op === 'unary') {
      if (node.operator === 'isZero') return a === 0n ? 1n : 0n;
      if (node.operator === 'not') return BigInt.asUintN(bits, ~a);
      return node.operator === 'neg' ? BigInt.asUintN(bits, -a) : undefined;
    }
    const b = this.constant(node.b);
    const value = b === undefined ? undefined : binary(node.operator, a, b);
    return value === undefined ? undefined : BigInt.asUintN(bits, value);
  }
}

/** Those that descriptions apply to immediates; the rest is left to the code. */
function binary(operator: string, a: bigint, b: bigint): bigint | undefined {
  switch (operator) {
    case 'add':
      return a + b;
    case 'sub':
      return a - b;
    case 'and':
      return a & b;
    case 'or':
      return a | b;
    case 'xor':
      return a ^ b;
    case 'eq':
      return a === b ? 1n : 0n;
    case 'ne':
      return a === b ? 0n : 1n;
    case 'ltu':
      return a < b ? 1n : 0n;
    case 'leu':
      return a <= b ? 1n : 0n;
    default:
      return undefined;
  }
}
