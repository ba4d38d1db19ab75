// SPDX-License-Identifier: Apache-2.0
import { assert } from '../../../base/assert.ts';
import { STATE, generalOffset } from '../state.ts';
import { Graph, Value, integerType, use } from './graph.ts';
import type { FlagsUpdate, Intent, Node, Place, Type } from './graph.ts';

/** Kinds of operand in a form's signature: general register, memory, immediate, XMM, MM. */
export type OperandKind = 'r' | 'm' | 'i' | 'x' | 'k';

export interface OperandShape {
  readonly kind: OperandKind;
  readonly bits: number;
}

/** `r64m64` -> two shapes. */
export function parseSignature(signature: string): OperandShape[] {
  return Array.from(signature.matchAll(/([rmixk])(\d+)/g), (m) => ({ kind: m[1] as OperandKind, bits: Number(m[2]) }));
}

/**
 * What a description is written against. Order is enforced: once something is committed (a register, flags, memory)
 * nothing may follow that can still fault.
 */
export class Operation extends Graph {
  readonly operands: readonly OperandShape[];
  private readonly probes = new Map<number, Value>();
  private committed = false;
  /** Whether microcode may have to take over. */
  escapes = false;

  constructor(signature: string) {
    super();
    this.operands = parseSignature(signature);
  }

  /** The operand's value; a memory operand is loaded. */
  read(index: number): Value {
    const shape = this.operands[index];
    const type = integerType(shape.bits);
    if (shape.kind === 'i') return this.value({ op: 'immediate', type, uses: 0 });
    if (shape.kind === 'm') return this.load(type, this.operandAddress());
    return this.readPlace(this.placeOf(index), type);
  }

  /** The value of an operand that will be written as well: a memory operand must be writable before anything happens. */
  readForUpdate(index: number): Value {
    if (this.operands[index].kind !== 'm') return this.read(index);
    const type = integerType(this.operands[index].bits);
    return this.loadProbed(this.probeOperand(index, 'modify'), type);
  }
  /** What lies at a probed place before it is stored to. */
  loadProbed(probe: Value, type: Type): Value {
    return this.value({ op: 'loadProbed', probe: use(probe.node), type, uses: 0 });
  }

  /** Makes sure that the operand can be written, before the first commit; a no-op for registers. */
  prepareWrite(index: number): void {
    if (this.operands[index].kind === 'm' && !this.probes.has(index)) this.probeOperand(index, 'write');
  }

  /** 32-bit general registers are zero-extended to 64. */
  write(index: number, value: Value): void {
    const shape = this.operands[index];
    assert(value.type === integerType(shape.bits), `write of ${value.type} to a ${shape.bits}-bit operand`);
    if (shape.kind !== 'm') return this.writePlace(this.placeOf(index), value, shape.kind === 'r' && shape.bits === 32);
    this.prepareWrite(index);
    const probe = this.probes.get(index);
    assert(probe, 'a probe exists');
    this.store(probe, value);
  }

  register(number: number, type: Type, high8 = false): Value {
    return this.readPlace({ offset: generalOffset(number, high8) }, type);
  }
  writeRegister(number: number, value: Value, high8 = false): void {
    this.writePlace({ offset: generalOffset(number, high8) }, value, value.type === 'i32');
  }
  readState(offset: number, type: Type): Value {
    return this.readPlace({ offset }, type);
  }
  writeState(offset: number, value: Value): void {
    this.writePlace({ offset }, value, false);
  }
  readPlace(place: Place, type: Type): Value {
    return this.value({ op: 'read', place, type, uses: 0 });
  }
  writePlace(place: Place, value: Value, extend: boolean): void {
    this.committed = true;
    this.statements.push({ kind: 'write', place, value: use(value.node), extend });
  }

  /** Linear address of the memory operand. */
  operandAddress(): Value {
    return this.value({ op: 'operandAddress', type: 'i64', uses: 0 });
  }
  load(type: Type, address: Value, stack = false): Value {
    this.mayFault('load');
    return this.value({ op: 'load', address: use(address.node), stack, direct: false, type, uses: 0 });
  }
  /** As `load`; whatever is not plain RAM at hand (a TLB miss, a device, a fault) is left to the exact microcode. */
  loadOrEscape(type: Type, address: Value): Value {
    this.mayEscape('load');
    return this.value({ op: 'load', address: use(address.node), stack: false, direct: true, type, uses: 0 });
  }
  /** The right to access `bytes` at a linear address; gives what `store` needs. */
  probe(bytes: number, address: Value, intent: Intent, stack = false): Value {
    this.mayFault('probe');
    return this.value({ op: 'probe', address: use(address.node), bytes, intent, stack, type: 'i32', uses: 0 });
  }
  store(probe: Value, value: Value): void {
    this.committed = true;
    this.statements.push({ kind: 'store', probe: use(probe.node), value: use(value.node) });
  }

  /** The condition of Jcc, SETcc and CMOVcc: the low four bits of the opcode. */
  condition(code: number): Value {
    return this.value({ op: 'condition', code, type: 'i1', uses: 0 });
  }
  /** The same, with the code in the record's third operand. */
  conditionOperand(): Value {
    return this.value({ op: 'conditionOperand', type: 'i1', uses: 0 });
  }
  carryFlag(): Value {
    return this.value({ op: 'carryFlag', type: 'i1', uses: 0 });
  }
  /** CF PF AF ZF SF OF in the layout of EFLAGS, as i32. */
  eflags(): Value {
    return this.value({ op: 'eflags', type: 'i32', uses: 0 });
  }
  ticks(): Value {
    return this.value({ op: 'ticks', type: 'i64', uses: 0 });
  }
  nextRip(): Value {
    return this.value({ op: 'nextRip', type: 'i64', uses: 0 });
  }

  flags(kind: 'add' | 'sub', a: Value, b: Value, result: Value): void {
    this.setFlags({ kind, a: use(a.node), b: use(b.node), result: use(result.node) });
  }
  flagsOfLogic(result: Value): void {
    this.setFlags({ kind: 'logic', result: use(result.node) });
  }
  flagsOfStep(kind: 'increment' | 'decrement', a: Value, result: Value): void {
    this.setFlags({ kind, a: use(a.node), result: use(result.node) });
  }
  flagsOfResult(result: Value, carry: Value, overflow: Value): void {
    this.setFlags({ kind: 'result', result: use(result.node), carry: use(carry.node), overflow: use(overflow.node) });
  }
  /** ZF and CF given, the others cleared. */
  flagsOfOrder(equal: Value, less: Value): void {
    this.setFlags({ kind: 'order', equal: use(equal.node), less: use(less.node) });
  }
  setCarry(carry: Value): void {
    this.setFlags({ kind: 'carry', carry: use(carry.node) });
  }
  setCarryOverflow(carry: Value, overflow: Value): void {
    this.setFlags({ kind: 'carryOverflow', carry: use(carry.node), overflow: use(overflow.node) });
  }
  setEflags(value: Value): void {
    this.setFlags({ kind: 'eflags', value: use(value.node) });
  }

  fault(condition: Value, vector: number, errorCode = 0): void {
    this.mayFault('fault');
    this.statements.push({ kind: 'fault', condition: use(condition.node), vector, errorCode });
  }
  /** If this holds nothing of this operation happens, and the exact microcode does the instruction instead. */
  escape(condition: Value): void {
    this.mayEscape('escape');
    this.statements.push({ kind: 'escape', condition: use(condition.node) });
  }
  /** Statements that happen only when the condition holds. Values made inside stay inside. */
  when(condition: Value, body: () => void): void {
    const node = use(condition.node);
    const then = this.nested(body);
    this.statements.push({ kind: 'if', condition: node, then });
  }
  branch(condition?: Value): void {
    this.statements.push({ kind: 'branch', condition: condition && use(condition.node) });
  }
  jump(target: Value): void {
    this.statements.push({ kind: 'jump', target: use(target.node) });
  }

  private probeOperand(index: number, intent: Intent): Value {
    const probe = this.probe(this.operands[index].bits / 8, this.operandAddress(), intent);
    this.probes.set(index, probe);
    return probe;
  }
  private placeOf(index: number): Place {
    return { slot: index as 0 | 1 | 2 };
  }
  private setFlags(update: FlagsUpdate): void {
    this.committed = true;
    this.statements.push({ kind: 'flags', update });
  }
  private mayEscape(what: string): void {
    this.mayFault(what);
    this.escapes = true;
  }
  private mayFault(what: string): void {
    assert(!this.committed, `a ${what} after the first commit would not be precise`);
  }
}

/** One described instruction: which forms exist, and what each means. */
export interface Description {
  readonly mnemonic: string;
  readonly signatures: readonly string[];
  /** Often executed: its handlers belong into the interpreter's one big function. */
  readonly hot: boolean;
  readonly endsBlock: boolean;
  /** Leaves some cases to the microcode of the same mnemonic. */
  readonly escapes?: boolean;
  /** Ends its block, and the next instruction follows. */
  readonly goesOn?: boolean;
  readonly describe: (operation: Operation) => void;
}

export type { Node, Place, Type };
export { Value, STATE };
