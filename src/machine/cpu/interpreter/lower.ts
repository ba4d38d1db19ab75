// SPDX-License-Identifier: Apache-2.0
import { DATA_TLB_ENTRIES, DATA_TLB_ENTRY_SIZE, DATA_TLB_OFFSET, DTLB } from '../../memory/layout.ts';
import { OP } from '../../wasm/opcodes.ts';
import { I32 } from '../../wasm/encoder.ts';
import type { Intent, Node, Place, Type } from '../operations/graph.ts';
import { STATE } from '../state.ts';
import type { Code } from './code.ts';
import { Lowering, loadOpcode, storeOpcode } from './lowering.ts';
import type { BranchStatement, TranslatedAccess } from './lowering.ts';
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
  branch(statement: BranchStatement, lowering: RecordLowering): void;
}

/** Lowers the statements of one form into interpreter code: operands come from the record, flags are kept eagerly. */
export class RecordLowering extends Lowering {
  readonly around: Surroundings;
  /** Whether an access was made, so that `after` must be looked at when the instruction is done. */
  accessed = false;
  private readonly simpleAddress: boolean;
  private readonly slots: readonly number[];

  constructor(
    around: Surroundings,
    { simpleAddress = false, fused = false }: { simpleAddress?: boolean; fused?: boolean } = {},
  ) {
    super(around.code);
    this.around = around;
    this.simpleAddress = simpleAddress;
    this.slots = fused ? FUSED_SLOTS : SLOT_FIELDS;
  }

  loadState(type: Type, offset: number): void {
    this.code.i32(0).memory(loadOpcode(type), this.around.area + offset);
  }
  storeState(type: Type, offset: number, value: () => void): void {
    this.code.i32(0);
    value();
    this.code.memory(storeOpcode(type), this.around.area + offset);
  }
  loadRecord(opcode: number, field: number): void {
    this.code.get(this.around.record).memory(opcode, field);
  }

  protected escape(condition: Node): void {
    this.emit(condition);
    this.code.if();
    this.around.escape();
    this.code.end();
  }

  protected immediate(type: Type): void {
    this.loadRecord(loadOpcode(type), RECORD.immediate);
  }

  protected nextRip(): void {
    this.loadState('i64', STATE.ripBase);
    this.loadRecord(OP.i64_load32_u, RECORD.nextOffset);
    this.code.op(OP.i64_add);
  }

  protected ticks(): void {
    this.loadState('i64', STATE.ticksAtEnd);
    this.code.get(this.around.remaining);
    this.loadRecord(OP.i32_load, RECORD.unretired);
    this.code.op(OP.i32_add).i32(1).op(OP.i32_sub, OP.i64_extend_i32_s, OP.i64_sub);
  }

  protected conditionOperand(): void {
    this.loadRecord(OP.i32_load, RECORD.operand2);
    this.code.call(this.around.evaluateCondition);
  }

  protected branch(statement: BranchStatement): void {
    this.around.branch(statement, this);
  }

  protected read(place: Place, type: Type): void {
    if ('offset' in place) return this.loadState(type, place.offset);
    this.loadRecord(OP.i32_load, this.slots[place.slot]);
    this.code.memory(loadOpcode(type), this.around.area + (place.add ?? 0));
  }

  protected write(place: Place, value: Node, extend: boolean): void {
    if ('offset' in place) this.code.i32(0);
    else this.loadRecord(OP.i32_load, this.slots[place.slot]);
    this.emit(value);
    if (extend) this.code.op(OP.i64_extend_i32_u);
    const offset = 'offset' in place ? place.offset : (place.add ?? 0);
    this.code.memory(extend ? OP.i64_store : storeOpcode(value.type), this.around.area + offset);
  }

  operandAddress(): void {
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

  /**
   * Pushes the host address of a linear address: by the TLB's tag when the access lies in one page that may be
   * accessed directly, else by the slow function, which may answer with a fault (or never, where microcode can take over).
   */
  protected translate({ address, bytes, intent, stack }: TranslatedAccess): void {
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
    code.memory(OP.i64_load, table + (intent === 'read' || intent === 'direct' ? DTLB.readTag : DTLB.writeTag));
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

  protected faultIf(condition: Node, vector: number, errorCode: number): void {
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
export const FUSED_SLOTS = [RECORD.base, RECORD.index, RECORD.operand2] as const;
export const SLOT_FIELDS = [RECORD.operand0, RECORD.operand1, RECORD.operand2] as const;
