// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../../base/assert.ts';
import { DATA_TLB_ENTRIES, DATA_TLB_ENTRY_SIZE, DATA_TLB_OFFSET, DTLB } from '../../memory/layout.ts';
import { OP } from '../../wasm/opcodes.ts';
import { I32 } from '../../wasm/encoder.ts';
import { bitsOf } from '../operations/graph.ts';
import type { Intent, Node, Place, Statement, Type } from '../operations/graph.ts';
import { STATE } from '../state.ts';
import { wasmType } from './code.ts';
import type { Code } from './code.ts';
import { lowerExpression } from './expressions.ts';
import { lowerFlags } from './flags.ts';
import { ACCESS, RECORD } from './record.ts';

/** What differs between a handler in the big function and a cold function of its own. */
export interface Surroundings {
  readonly code: Code;
  /** Address of the processor's area: the static offset of every state access. */
  readonly area: number;
  /** Local holding the record's address. */
  readonly record: number;
  /** Local holding what remains of the budget. */
  readonly remaining: number;
  /** Local that is set, after a slow access, to what `afterAccess` says. */
  readonly after: number;
  /** Indices of functions: (record, remaining, linear, access) -> host, (vector, errorCode), (code) -> i32. */
  readonly slowAccess: number;
  readonly raise: number;
  readonly evaluateCondition: number;
  /** Leaves for the fault path. */
  fault(): void;
  /** Leaves to the microcode that does the whole instruction. */
  escape(): void;
  /** Ends the block; the statement says where to. `accessed`: `after` may be set. */
  branch(statement: Statement & { kind: 'branch' | 'jump' }, lowering: Lowering): void;
}

/** Lowers the statements of one form into interpreter code: operands come from the record, flags are kept eagerly. */
export class Lowering {
  readonly around: Surroundings;
  readonly code: Code;
  /** Whether an access was made, so that `after` must be looked at when the instruction is done. */
  accessed = false;
  ended = false;
  private readonly locals = new Map<Node, number>();

  private readonly simpleAddress: boolean;
  private readonly slots: readonly number[];

  constructor(
    around: Surroundings,
    { simpleAddress = false, fused = false }: { simpleAddress?: boolean; fused?: boolean } = {},
  ) {
    this.around = around;
    this.code = around.code;
    this.simpleAddress = simpleAddress;
    this.slots = fused ? FUSED_SLOTS : SLOT_FIELDS;
  }

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

  loadState(type: Type, offset: number): void {
    this.code.i32(0).memory(loadOpcode(type), this.around.area + offset);
  }
  /** Stores to the state block what `value` pushes. */
  storeState(type: Type, offset: number, value: () => void): void {
    this.code.i32(0);
    value();
    this.code.memory(storeOpcode(type), this.around.area + offset);
  }
  loadRecord(opcode: number, field: number): void {
    this.code.get(this.around.record).memory(opcode, field);
  }

  private statement(statement: Statement): void {
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
        return lowerFlags(this, statement.update);
      case 'fault':
        return this.faultIf(statement.condition, statement.vector, statement.errorCode);
      case 'escape':
        this.emit(statement.condition);
        this.code.if();
        this.around.escape();
        this.code.end();
        return;
      case 'if':
        this.emit(statement.condition);
        this.code.if();
        this.statements(statement.then);
        this.code.end();
        return;
      case 'branch':
      case 'jump':
        this.ended = true;
        return this.around.branch(statement, this);
    }
  }

  /** Things that read the machine happen now; pure values wait for their use unless several share them. */
  private define(node: Node): void {
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

  private compute(node: Node): void {
    switch (node.op) {
      case 'read':
        return this.read(node.place, node.type);
      case 'immediate':
        return this.loadRecord(loadOpcode(node.type), RECORD.immediate);
      case 'nextRip':
        this.loadState('i64', STATE.ripBase);
        this.loadRecord(OP.i64_load32_u, RECORD.nextOffset);
        this.code.op(OP.i64_add);
        return;
      case 'operandAddress':
        return this.operandAddress();
      case 'load':
        return this.load(node);
      case 'probe':
        return this.translate(
          node.address,
          node.bytes,
          node.intent === 'read' ? 'readTag' : 'writeTag',
          node.intent,
          node.stack,
        );
      case 'loadProbed':
        this.emit(node.probe);
        this.code.memory(loadOpcode(node.type), 0);
        return;
      case 'conditionOperand':
        this.loadRecord(OP.i32_load, RECORD.operand2);
        this.code.call(this.around.evaluateCondition);
        return;
      default:
        return lowerExpression(this, node);
    }
  }

  private read(place: Place, type: Type): void {
    if ('offset' in place) return this.loadState(type, place.offset);
    this.loadRecord(OP.i32_load, this.slots[place.slot]);
    this.code.memory(loadOpcode(type), this.around.area + (place.add ?? 0));
  }

  private write(place: Place, value: Node, extend: boolean): void {
    if ('offset' in place) this.code.i32(0);
    else this.loadRecord(OP.i32_load, this.slots[place.slot]);
    this.emit(value);
    if (extend) this.code.op(OP.i64_extend_i32_u);
    const offset = 'offset' in place ? place.offset : (place.add ?? 0);
    this.code.memory(extend ? OP.i64_store : storeOpcode(value.type), this.around.area + offset);
  }

  private operandAddress(): void {
    const { code, around } = this;
    this.loadRecord(OP.i32_load, RECORD.base);
    code.memory(OP.i64_load, around.area);
    if (this.simpleAddress) {
      this.loadRecord(OP.i64_load, RECORD.displacement);
      code.op(OP.i64_add);
      return;
    }
    this.loadRecord(OP.i32_load, RECORD.index);
    code.memory(OP.i64_load, around.area);
    this.loadRecord(OP.i64_load32_u, RECORD.scale);
    code.op(OP.i64_shl, OP.i64_add);
    this.loadRecord(OP.i64_load, RECORD.displacement);
    code.op(OP.i64_add);
    this.loadRecord(OP.i32_load, RECORD.segmentBase);
    code.memory(OP.i64_load, around.area).op(OP.i64_add);
  }

  private load({ type, address, stack, direct }: Node & { op: 'load' }): void {
    this.translate(address, bitsOf(type) / 8, 'readTag', direct ? 'direct' : 'read', stack);
    this.code.memory(loadOpcode(type), 0);
  }

  /**
   * Pushes the host address of a linear address: by the TLB's tag when the access lies in one page that may be
   * accessed directly, else by the slow function, which may answer with a fault (or never, where microcode can take over).
   */
  private translate(
    address: Node,
    bytes: number,
    tag: 'readTag' | 'writeTag',
    intent: Intent | 'direct',
    stack: boolean,
  ): void {
    const { code, around } = this;
    const linear = this.inLocal(address);
    const entry = code.temporary(I32);
    if (intent !== 'direct') this.accessed = true;
    code.get(linear).i64(7n).op(OP.i64_shr_u, OP.i32_wrap_i64);
    this.loadState('i32', STATE.dataHash);
    code
      .op(OP.i32_xor)
      .i32((DATA_TLB_ENTRIES - 1) * DATA_TLB_ENTRY_SIZE)
      .op(OP.i32_and)
      .tee(entry);
    const table = around.area + DATA_TLB_OFFSET;
    code.memory(OP.i64_load, table + DTLB[tag]);
    code.get(linear);
    if (bytes > 1) code.i64(BigInt(bytes - 1)).op(OP.i64_add);
    code.i64(-4096n).op(OP.i64_and);
    this.loadState('i64', STATE.dataContext);
    code.op(OP.i64_or, OP.i64_eq);
    code.if(I32);
    code
      .get(linear)
      .op(OP.i32_wrap_i64)
      .get(entry)
      .memory(OP.i32_load, table + DTLB.addend)
      .op(OP.i32_add);
    code.else();
    if (intent === 'direct') around.escape();
    else this.slowAccess(linear, bytes, intent, stack);
    code.end();
  }

  /** Pushes the host address that the slow function answers with. */
  private slowAccess(linear: number, bytes: number, intent: Intent, stack: boolean): void {
    const { code, around } = this;
    const host = code.temporary(I32);
    const kind =
      (intent === 'write' ? ACCESS.write : intent === 'modify' ? ACCESS.write | ACCESS.modify : 0) |
      (stack ? ACCESS.stack : 0);
    code
      .get(around.record)
      .get(around.remaining)
      .get(linear)
      .i32(bytes | kind)
      .call(around.slowAccess);
    code.tee(host).i32(-1).op(OP.i32_eq);
    code.if();
    around.fault();
    code.end();
    this.loadState('i32', STATE.afterAccess);
    code.get(around.after).op(OP.i32_or).set(around.after);
    code.get(host);
  }

  private faultIf(condition: Node, vector: number, errorCode: number): void {
    const { code, around } = this;
    this.emit(condition);
    code.if();
    this.storeState('i32', STATE.record, () => code.get(around.record));
    this.storeState('i32', STATE.remaining, () => code.get(around.remaining));
    code.i32(vector).i32(errorCode).call(around.raise);
    around.fault();
    code.end();
  }
}

/** In a fused record the link cells are where the operands would be, and no memory operand is. */
const FUSED_SLOTS = [RECORD.base, RECORD.index, RECORD.operand2] as const;
const SLOT_FIELDS = [RECORD.operand0, RECORD.operand1, RECORD.operand2] as const;

function isPure(node: Node): boolean {
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

// prettier-ignore
const LOADS: Partial<Record<Type, number>> = { i8: OP.i32_load8_u, i16: OP.i32_load16_u, i32: OP.i32_load, i64: OP.i64_load, f32: OP.f32_load, f64: OP.f64_load };
// prettier-ignore
const STORES: Partial<Record<Type, number>> = { i8: OP.i32_store8, i16: OP.i32_store16, i32: OP.i32_store, i64: OP.i64_store, f32: OP.f32_store, f64: OP.f64_store };

/** V128 loads and stores are two bytes; `Code.memory` takes them as prefix << 8 | opcode. */
const V128_LOAD = 0xfd00;
const V128_STORE = 0xfd0b;

function loadOpcode(type: Type): number {
  const opcode = type === 'v128' ? V128_LOAD : LOADS[type];
  assert(opcode !== undefined, `no load of ${type}`);
  return opcode;
}
function storeOpcode(type: Type): number {
  const opcode = type === 'v128' ? V128_STORE : STORES[type];
  assert(opcode !== undefined, `no store of ${type}`);
  return opcode;
}
