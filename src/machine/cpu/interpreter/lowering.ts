// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../../base/assert.ts';
import { OP } from '../../wasm/opcodes.ts';
import type { FlagsUpdate, Intent, Node, Place, Statement, Type } from '../operations/graph.ts';
import { wasmType } from './code.ts';
import type { Code } from './code.ts';
import { lowerExpression } from './expressions.ts';
import { lowerCarryFlag, lowerCondition, lowerEflags, lowerFlags } from './flags.ts';

/** An access to be translated: the statement's or node's own words. */
export interface TranslatedAccess {
  readonly address: Node;
  readonly bytes: number;
  /** direct: a TLB hit or nothing; what it is for can be done by microcode. */
  readonly intent: Intent | 'direct';
  readonly stack: boolean;
}

export type BranchStatement = Statement & { kind: 'branch' | 'jump' };

/**
 * Statements and values of a description as WebAssembly: what both engines have in common. How an operand is read, where
 * flags are kept and how an instruction leaves is each engine's own.
 */
export abstract class Lowering {
  readonly code: Code;
  ended = false;
  protected locals = new Map<Node, number>();

  constructor(code: Code) {
    this.code = code;
  }

  /** A field of the state block: pushed. */
  abstract loadState(type: Type, offset: number): void;
  /** Stores to the state block what `value` pushes. */
  abstract storeState(type: Type, offset: number, value: () => void): void;
  protected abstract read(place: Place, type: Type): void;
  protected abstract write(place: Place, value: Node, extend: boolean): void;
  protected abstract immediate(type: Type): void;
  protected abstract nextRip(): void;
  protected abstract ticks(): void;
  /** Linear address of the memory operand, i64. */
  protected abstract operandAddress(): void;
  /** The condition whose code is in the record's third operand, i32. */
  protected abstract conditionOperand(): void;
  /** Pushes the host address of a linear address that may be accessed so, or leaves. */
  protected abstract translate(access: TranslatedAccess): void;
  protected abstract faultIf(condition: Node, vector: number, errorCode: number): void;
  /** Microcode does the whole instruction if the condition holds; nothing of it has happened. */
  protected abstract escape(condition: Node): void;
  protected abstract branch(statement: BranchStatement): void;

  statements(list: readonly Statement[]): void {
    for (const statement of list) this.statement(statement);
  }

  /** Pushes the value of a node. */
  emit(node: Node): void {
    const local = this.locals.get(node);
    if (local !== undefined) this.code.get(local);
    else this.compute(node);
  }

  /** The value of a node in a local of its own (shared by all uses). */
  inLocal(node: Node): number {
    let local = this.locals.get(node);
    if (local === undefined) {
      this.compute(node);
      local = this.keep(node);
    }
    return local;
  }

  condition(code: number): void {
    lowerCondition(this, code);
  }
  carryFlag(): void {
    lowerCarryFlag(this);
  }
  eflags(): void {
    lowerEflags(this);
  }

  protected flags(update: FlagsUpdate): void {
    lowerFlags(this, update);
  }

  protected conditional(condition: Node, then: readonly Statement[]): void {
    this.emit(condition);
    this.code.if();
    this.statements(then);
    this.code.end();
  }

  protected statement(statement: Statement): void {
    switch (statement.kind) {
      case 'let':
        return this.define(statement.node);
      case 'write':
        return this.write(statement.place, statement.value, statement.extend);
      case 'store':
        this.emit(statement.probe);
        this.emit(statement.value);
        this.code.memory(storeOpcode(statement.value.type), 0);
        return;
      case 'flags':
        return this.flags(statement.update);
      case 'fault':
        return this.faultIf(statement.condition, statement.vector, statement.errorCode);
      case 'escape':
        return this.escape(statement.condition);
      case 'if':
        return this.conditional(statement.condition, statement.then);
      case 'branch':
      case 'jump':
        this.ended = true;
        return this.branch(statement);
    }
  }

  /** Things that read the machine happen now; pure values wait for their use unless several share them. */
  protected define(node: Node): void {
    if (node.uses === 0 && node.op !== 'load' && node.op !== 'probe') return;
    if (isPure(node) && node.uses < 2) return;
    this.compute(node);
    this.keep(node);
  }

  private keep(node: Node): number {
    const local = this.code.temporary(wasmType(node.type));
    this.code.set(local);
    this.locals.set(node, local);
    return local;
  }

  protected compute(node: Node): void {
    switch (node.op) {
      case 'read':
        return this.read(node.place, node.type);
      case 'immediate':
        return this.immediate(node.type);
      case 'nextRip':
        return this.nextRip();
      case 'ticks':
        return this.ticks();
      case 'operandAddress':
        return this.operandAddress();
      case 'load':
        this.translate({
          address: node.address,
          bytes: bytesOf(node.type),
          intent: node.direct ? 'direct' : 'read',
          stack: node.stack,
        });
        this.code.memory(loadOpcode(node.type), 0);
        return;
      case 'probe':
        return this.translate(node);
      case 'loadProbed':
        this.emit(node.probe);
        this.code.memory(loadOpcode(node.type), 0);
        return;
      case 'conditionOperand':
        return this.conditionOperand();
      default:
        return lowerExpression(this, node);
    }
  }
}

export function isPure(node: Node): boolean {
  return (
    node.op === 'const' ||
    node.op === 'unary' ||
    node.op === 'binary' ||
    node.op === 'convert' ||
    node.op === 'select' ||
    node.op === 'simd' ||
    node.op === 'nextRip'
  );
}

const BYTES: Record<Type, number> = { i1: 1, i8: 1, i16: 2, i32: 4, i64: 8, v128: 16, f32: 4, f64: 8 };
function bytesOf(type: Type): number {
  return BYTES[type];
}

// prettier-ignore
const LOADS: Partial<Record<Type, number>> = { i8: OP.i32_load8_u, i16: OP.i32_load16_u, i32: OP.i32_load, i64: OP.i64_load, f32: OP.f32_load, f64: OP.f64_load };
// prettier-ignore
const STORES: Partial<Record<Type, number>> = { i8: OP.i32_store8, i16: OP.i32_store16, i32: OP.i32_store, i64: OP.i64_store, f32: OP.f32_store, f64: OP.f64_store };

/** V128 loads and stores are two bytes; `Code.memory` takes them as prefix << 8 | opcode. */
const V128_LOAD = 0xfd00;
const V128_STORE = 0xfd0b;

export function loadOpcode(type: Type): number {
  const opcode = type === 'v128' ? V128_LOAD : LOADS[type];
  assert(opcode !== undefined, `no load of ${type}`);
  return opcode;
}
export function storeOpcode(type: Type): number {
  const opcode = type === 'v128' ? V128_STORE : STORES[type];
  assert(opcode !== undefined, `no store of ${type}`);
  return opcode;
}
