// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../../base/assert.ts';
import { DATA_TLB_ENTRIES, DATA_TLB_ENTRY_SIZE, DATA_TLB_OFFSET, DTLB } from '../../memory/layout.ts';
import { I32, I64 } from '../../wasm/encoder.ts';
import { OP } from '../../wasm/opcodes.ts';
import type { Code, Label } from '../interpreter/code.ts';
import { FUSED_SLOTS, SLOT_FIELDS } from '../interpreter/lower.ts';
import { Lowering, loadOpcode, storeOpcode } from '../interpreter/lowering.ts';
import type { BranchStatement, TranslatedAccess } from '../interpreter/lowering.ts';
import { HANDLER, RECORD } from '../interpreter/record.ts';
import type { FlagsUpdate, Node, Place, Statement, Type } from '../operations/graph.ts';
import { STATE } from '../state.ts';
import { Folding } from './folding.ts';
import { pushConditionOf } from './flag-conditions.ts';
import { FLAGS, kindOf, pushCarry, pushResult } from './flag-kinds.ts';
import type { FlagKind } from './flag-kinds.ts';
import { LEAVE } from './region.ts';
import type { RegionInstruction } from './region.ts';
import { Registers } from './registers.ts';

/** Locals that live as long as the region's function, and where to branch to leave it. */
export interface RegionFrame {
  readonly code: Code;
  /** Parameters: the processor's area, and how deep calls from region to region have gone. */
  readonly area: number;
  readonly depth: number;
  readonly remaining: number;
  readonly exitCode: number;
  readonly ripBase: number;
  /** Where to go when the region is left by `chain`. */
  readonly target: number;
  readonly dataContext: number;
  readonly dataHash: number;
  readonly flagKind: number;
  readonly flagA: number;
  readonly flagB: number;
  readonly registers: Registers;
  /** The code behind it writes everything back and returns `exitCode`. */
  leave: Label;
  /** The code behind it goes to `target`: straight to its region if there is one. */
  chain: Label;
  /** Functions: see runtime.ts. */
  readonly flagResult: number;
  readonly flagCarry: number;
}

/**
 * Lowers statements into region code: operands are known, registers are locals, flags stay symbolic. Whatever the fast
 * path does not cover leaves the region before anything of the instruction has happened.
 */
export class RegionLowering extends Lowering {
  /** The kind of the flags here when it is known at compile time. */
  kind: FlagKind | undefined;
  onBranch: (statement: BranchStatement) => void = () => {};
  private readonly frame: RegionFrame;
  private readonly words: Int32Array;
  private readonly folding: Folding;
  private record = 0;
  /** Where the instruction begins: at its address record, if it has one. */
  private first = 0;
  private slots: readonly number[] = SLOT_FIELDS;
  /** Holds the linear address that an address record left. */
  private readonly prepared: number;
  private inConditional = false;

  constructor(frame: RegionFrame, words: Int32Array) {
    super(frame.code);
    this.frame = frame;
    this.words = words;
    this.prepared = this.code.temporary(I64);
    this.code.keepLocals();
    this.folding = new Folding((type) => this.immediateValue(type));
  }

  /** The half of an instruction that works out a 32-bit address. */
  addressRecord(record: number): void {
    this.record = record;
    this.operandAddress();
    this.code.i64(0xffffffffn).op(OP.i64_and).set(this.prepared);
  }

  instruction({ record, form }: RegionInstruction, statements: readonly Statement[]): void {
    this.locals = new Map();
    this.folding.clear();
    this.record = record;
    const before = this.field(RECORD.handler, record - RECORD.size) === HANDLER.address32;
    this.first =
      before && this.field(RECORD.ripOffset, record - RECORD.size) === this.field(RECORD.ripOffset)
        ? record - RECORD.size
        : record;
    this.slots = form?.fused ? FUSED_SLOTS : SLOT_FIELDS;
    this.ended = false;
    this.statements(statements);
    this.code.releaseLocals();
  }

  /** Leaves when the i32 on the stack is not zero; gives it back to the interpreter at this instruction. */
  leaveIf(leaving: number = this.first | LEAVE.resume): void {
    this.code.i32(leaving).set(this.frame.exitCode).brIf(this.frame.leave);
  }

  field(field: number, record = this.record): number {
    return this.words[(record + field) >> 2];
  }
  field64(field: number): bigint {
    return (BigInt(this.field(field + 4)) << 32n) | BigInt(this.field(field) >>> 0);
  }

  override emit(node: Node): void {
    const value = this.locals.has(node) ? undefined : this.folding.constant(node);
    if (value === undefined) return super.emit(node);
    this.push(node.type, value);
  }
  private push(type: Type, value: bigint): void {
    if (type === 'i64') this.code.i64(value);
    else this.code.i32(Number(BigInt.asIntN(32, value)));
  }

  protected override define(node: Node): void {
    if (this.folding.constant(node) === undefined) super.define(node);
  }

  // --- state -----------------------------------------------------------------------------------------------------

  loadState(type: Type, offset: number): void {
    if (offset === STATE.flagCarry || offset === STATE.flagResult) return this.loadFlags(type, offset);
    this.code.get(this.frame.area).memory(loadOpcode(type), offset);
  }
  storeState(type: Type, offset: number, value: () => void): void {
    if (offset === STATE.flagCarry || offset === STATE.flagResult) return this.storeFlags(offset, value);
    if (offset === STATE.dataContext || offset === STATE.dataHash) return this.storeContext(offset, value);
    this.code.get(this.frame.area);
    value();
    this.code.memory(storeOpcode(type), offset);
  }

  /** STAC and CLAC: the region's own copies change too. Both fields are written as 32 bits. */
  private storeContext(offset: number, value: () => void): void {
    const { code, frame } = this;
    value();
    if (offset === STATE.dataHash) code.set(frame.dataHash).get(frame.area).get(frame.dataHash);
    else code.op(OP.i64_extend_i32_u).set(frame.dataContext).get(frame.area).get(frame.dataContext).op(OP.i32_wrap_i64);
    code.memory(OP.i32_store, offset);
  }

  protected read(place: Place, type: Type): void {
    const offset = this.offsetOf(place);
    if (Registers.holds(offset)) this.frame.registers.push(offset, type);
    else this.loadState(type, offset);
  }

  protected write(place: Place, value: Node, extend: boolean): void {
    const offset = this.offsetOf(place);
    if (Registers.holds(offset)) return this.frame.registers.write(offset, value.type, () => this.emit(value));
    this.storeState(extend ? 'i64' : value.type, offset, () => {
      this.emit(value);
      if (extend) this.code.op(OP.i64_extend_i32_u);
    });
  }

  private offsetOf(place: Place): number {
    return 'offset' in place ? place.offset : this.field(this.slots[place.slot]) + (place.add ?? 0);
  }

  // --- operands --------------------------------------------------------------------------------------------------

  private immediateValue(type: Type): bigint | undefined {
    const value = this.field64(RECORD.immediate);
    if (type === 'i64') return value;
    const bits = { i8: 8, i16: 16, i32: 32 }[type as 'i8'];
    return bits === undefined ? undefined : BigInt.asUintN(bits, value);
  }
  protected immediate(type: Type): void {
    const value = this.immediateValue(type);
    assert(value !== undefined, `an immediate of type ${type}`);
    this.push(type, value);
  }
  protected nextRip(): void {
    this.code
      .get(this.frame.ripBase)
      .i64(BigInt(this.field(RECORD.nextOffset)))
      .op(OP.i64_add);
  }
  protected ticks(): void {
    this.loadState('i64', STATE.ticksAtEnd);
    this.code.get(this.frame.remaining).i32(this.field(RECORD.unretired) - 1);
    this.code.op(OP.i32_add, OP.i64_extend_i32_s, OP.i64_sub);
  }
  protected conditionOperand(): void {
    this.condition(this.field(RECORD.operand2));
  }

  protected operandAddress(): void {
    const { code } = this;
    this.register(this.field(RECORD.base));
    const index = this.field(RECORD.index);
    if (index !== STATE.zero) {
      this.register(index);
      const scale = this.field(RECORD.scale);
      if (scale !== 0) code.i64(BigInt(scale)).op(OP.i64_shl);
      code.op(OP.i64_add);
    }
    const displacement = this.field64(RECORD.displacement);
    if (displacement !== 0n) code.i64(displacement).op(OP.i64_add);
    const segment = this.field(RECORD.segmentBase);
    if (segment === STATE.zero || segment === STATE.zeroStack) return;
    this.loadState('i64', segment);
    code.op(OP.i64_add);
  }

  private register(offset: number): void {
    if (Registers.holds(offset)) this.frame.registers.push(offset, 'i64');
    else if (offset === STATE.zero) this.code.i64(0n);
    else if (offset === STATE.ripBase) this.code.get(this.frame.ripBase);
    else if (offset === STATE.linear) this.code.get(this.prepared);
    else this.loadState('i64', offset);
  }

  // --- memory ----------------------------------------------------------------------------------------------------

  protected translate({ address, bytes, intent }: TranslatedAccess): void {
    const { code, frame } = this;
    const linear = this.inLocal(address);
    const entry = code.temporary(I32);
    code.get(linear).i64(7n).op(OP.i64_shr_u, OP.i32_wrap_i64).get(frame.dataHash).op(OP.i32_xor);
    code.i32((DATA_TLB_ENTRIES - 1) * DATA_TLB_ENTRY_SIZE).op(OP.i32_and);
    code.get(frame.area).op(OP.i32_add).tee(entry);
    code.memory(
      OP.i64_load,
      DATA_TLB_OFFSET + (intent === 'read' || intent === 'direct' ? DTLB.readTag : DTLB.writeTag),
    );
    code.get(linear);
    if (bytes > 1) code.i64(BigInt(bytes - 1)).op(OP.i64_add);
    code.i64(-4096n).op(OP.i64_and).get(frame.dataContext).op(OP.i64_or, OP.i64_ne);
    this.leaveIf();
    code.get(linear).op(OP.i32_wrap_i64).get(entry);
    code.memory(OP.i32_load, DATA_TLB_OFFSET + DTLB.addend).op(OP.i32_add);
  }

  /** The interpreter does the instruction again, and raises it. */
  protected faultIf(condition: Node): void {
    this.emit(condition);
    this.leaveIf();
  }

  protected escape(condition: Node): void {
    this.faultIf(condition);
  }

  protected branch(statement: BranchStatement): void {
    this.onBranch(statement);
  }

  protected override conditional(condition: Node, then: readonly Statement[]): void {
    const known = this.folding.constant(condition);
    if (known === 0n) return;
    if (known !== undefined) return this.statements(then);
    const touchesFlags = then.some((statement) => statement.kind === 'flags');
    if (touchesFlags) this.settle();
    const outer = this.inConditional;
    this.inConditional = true;
    super.conditional(condition, then);
    this.inConditional = outer;
  }

  // --- flags -----------------------------------------------------------------------------------------------------

  override condition(code: number): void {
    if (this.kind === undefined || !this.pushKnown(this.kind, code)) super.condition(code);
  }
  override carryFlag(): void {
    if (this.kind === undefined || !this.pushKnown(this.kind, CARRY)) super.carryFlag();
  }
  private pushKnown(kind: FlagKind, code: number): boolean {
    return pushConditionOf(this.code, kind, { a: this.frame.flagA, b: this.frame.flagB }, code);
  }

  protected override flags(update: FlagsUpdate): void {
    const kind = this.inConditional ? undefined : kindOf(update);
    if (kind === undefined || !('result' in update)) return super.flags(update);
    const { flagA, flagB } = this.frame;
    if (update.kind === 'logic') {
      this.pushExtended(update.result, true);
      this.code.set(flagA);
    } else if (update.kind === 'add' || update.kind === 'sub') {
      this.pushExtended(update.a, false);
      this.pushExtended(update.b, false);
      this.code.set(flagB).set(flagA);
    }
    this.setKind(kind);
  }

  private pushExtended(node: Node, signed: boolean): void {
    this.emit(node);
    if (node.type === 'i64') return;
    if (signed && node.type === 'i8') this.code.op(OP.i32_extend8_s);
    if (signed && node.type === 'i16') this.code.op(OP.i32_extend16_s);
    this.code.op(signed ? OP.i64_extend_i32_s : OP.i64_extend_i32_u);
  }

  private setKind(kind: FlagKind): void {
    this.kind = kind;
    this.code.i32(kind).set(this.frame.flagKind);
  }

  /** Brings the flags into the interpreter's form. */
  settle(): void {
    const { code, kind } = this;
    const { flagKind, flagA, flagB } = this.frame;
    if (kind === FLAGS.pair) return;
    if (kind === undefined) {
      code.get(flagKind).if();
      code.get(flagKind).get(flagA).get(flagB).call(this.frame.flagResult);
      code.get(flagKind).get(flagA).get(flagB).call(this.frame.flagCarry);
      code.op(OP.i64_extend_i32_u).set(flagB).set(flagA).end();
    } else {
      pushResult(code, kind, { a: flagA, b: flagB });
      pushCarry(code, kind, { a: flagA, b: flagB });
      code.op(OP.i64_extend_i32_u).set(flagB).set(flagA);
    }
    this.setKind(FLAGS.pair);
  }

  private loadFlags(type: Type, offset: number): void {
    this.settle();
    const carry = offset === STATE.flagCarry;
    this.code.get(carry ? this.frame.flagB : this.frame.flagA);
    if (carry || type !== 'i64') this.code.op(OP.i32_wrap_i64);
  }

  /** Whoever stores one of the two has looked at it first, or stores both. */
  private storeFlags(offset: number, value: () => void): void {
    value();
    if (offset === STATE.flagResult) return void this.code.set(this.frame.flagA);
    this.code.op(OP.i64_extend_i32_u).set(this.frame.flagB);
    if (this.kind !== FLAGS.pair) this.setKind(FLAGS.pair);
  }
}

/** The condition code of CF = 1. */
const CARRY = 2;
