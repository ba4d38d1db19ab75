// SPDX-License-Identifier: Apache-2.0

import {
  bitsOf,
  type FlagsUpdate,
  type Node,
  type Place,
  type Statement,
  type Type,
} from '../../src/machine/cpu/operations/graph.ts';
import { binary, convert, unary } from './arithmetic.ts';
import { eflagsOf, flagsFrom, holds, NO_FLAGS, ofResult, ofSum, type Flags } from './flags.ts';
import { simd } from './lanes.ts';
import { ReferenceFault, type ReferenceMemory } from './memory.ts';
import type { Registers } from './registers.ts';

/** The operands of one instruction, and where it stands. */
export type Surroundings = {
  readonly registers: Registers;
  readonly memory: ReferenceMemory;
  /** Offsets of the register operands. */
  readonly slots: readonly number[];
  /** Linear address of the memory operand. */
  readonly address: bigint;
  /** The memory operand is in SS. */
  readonly inStack: boolean;
  /** 64 bits, extended as the instruction wants it. */
  readonly immediate: bigint;
  readonly condition: number;
  readonly nextRip: bigint;
  /** Where a relative branch leads. */
  readonly target: bigint;
  readonly alignmentChecks: boolean;
};

/** Microcode does the instruction: the description has nothing to say. */
export class Escape extends Error {}

const PURE = new Set(['const', 'unary', 'binary', 'convert', 'select', 'simd', 'immediate', 'nextRip']);
/** What probing gives is a number of 32 bits that one may add to: which probe it was, times this. */
const PROBE = 0x1000n;
const bytesOf = (type: Type): number => bitsOf(type) / 8;

/** Executes the statements of a description one after the other, as they are written. */
export class Evaluation {
  flags: Flags;
  rip: bigint;
  readonly #around: Surroundings;
  readonly #values = new Map<Node, bigint>();
  readonly #probes: bigint[] = [];

  constructor(around: Surroundings, flags: Flags) {
    this.#around = around;
    this.flags = flags;
    this.rip = around.nextRip;
  }

  run(statements: readonly Statement[]): void {
    for (const statement of statements) this.#statement(statement);
  }

  #statement(statement: Statement): void {
    switch (statement.kind) {
      case 'let':
        if (!PURE.has(statement.node.op)) this.#value(statement.node);
        return;
      case 'write':
        return this.#write(statement.place, this.#value(statement.value), statement.value.type, statement.extend);
      case 'store':
        return this.#around.memory.store(
          this.#probed(statement.probe),
          bytesOf(statement.value.type),
          this.#value(statement.value),
        );
      case 'flags':
        this.flags = this.#flags(statement.update);
        return;
      case 'fault':
        if (this.#holds(statement.condition)) throw new ReferenceFault(statement.vector, statement.errorCode);
        return;
      case 'escape':
        if (this.#holds(statement.condition)) throw new Escape();
        return;
      case 'if':
        if (this.#holds(statement.condition)) this.run(statement.then);
        return;
      case 'branch':
        this.rip =
          !statement.condition || this.#holds(statement.condition) ? this.#around.target : this.#around.nextRip;
        return;
      case 'jump':
        this.rip = this.#value(statement.target);
    }
  }

  #holds(condition: Node): boolean {
    return this.#value(condition) === 1n;
  }

  #value(node: Node): bigint {
    let value = this.#values.get(node);
    if (value === undefined) this.#values.set(node, (value = this.#compute(node)));
    return value;
  }

  #compute(node: Node): bigint {
    const { registers, memory } = this.#around;
    switch (node.op) {
      case 'const':
        return node.value;
      case 'unary':
        return unary(node.operator, this.#value(node.a), node.a.type);
      case 'binary':
        return binary(node.operator, this.#value(node.a), this.#value(node.b), node.a.type, node.type);
      case 'convert':
        return convert(node.how, this.#value(node.a), node.a.type, node.type);
      case 'select':
        return this.#value(this.#holds(node.condition) ? node.a : node.b);
      case 'simd':
        return simd(node.name, {
          args: node.args.map((each) => this.#value(each)),
          lane: node.lane,
          bytes: node.bytes,
        });
      case 'read':
        return registers.read(this.#offset(node.place), bitsOf(node.type));
      case 'immediate':
        return BigInt.asUintN(bitsOf(node.type), this.#around.immediate);
      case 'nextRip':
        return this.#around.nextRip;
      case 'operandAddress':
        return this.#around.address;
      case 'load':
        return this.#load(node);
      case 'probe':
        this.#access(this.#value(node.address), node.bytes, true, node.stack);
        return BigInt(this.#probes.push(this.#value(node.address)) - 1) * PROBE;
      case 'loadProbed':
        return memory.load(this.#probed(node.probe), bytesOf(node.type));
      case 'condition':
        return holds(node.code, this.flags) ? 1n : 0n;
      case 'conditionOperand':
        return holds(this.#around.condition, this.flags) ? 1n : 0n;
      case 'carryFlag':
        return this.flags.cf ? 1n : 0n;
      case 'eflags':
        return eflagsOf(this.flags);
      case 'ticks':
        throw new Escape();
    }
  }

  #load(node: Node & { op: 'load' }): bigint {
    const bytes = bytesOf(node.type);
    const address = this.#value(node.address);
    try {
      this.#access(address, bytes, false, node.stack);
    } catch (fault) {
      throw node.direct ? new Escape() : fault;
    }
    return this.#around.memory.load(address, bytes);
  }

  #access(address: bigint, bytes: number, write: boolean, stack: boolean): void {
    const { memory, inStack, alignmentChecks } = this.#around;
    memory.check({ address, bytes, write, stack: stack || inStack, aligned: alignmentChecks && bytes <= 8 });
  }

  /** The linear address that a probe, or a probe and something added to it, stands for. */
  #probed(node: Node): bigint {
    const value = this.#value(node);
    return this.#probes[Number(value / PROBE)] + (value % PROBE);
  }

  #offset(place: Place): number {
    return 'offset' in place ? place.offset : this.#around.slots[place.slot] + (place.add ?? 0);
  }

  #write(place: Place, value: bigint, type: Type, extend: boolean): void {
    this.#around.registers.write(this.#offset(place), extend ? 64 : bitsOf(type), value);
  }

  #flags(update: FlagsUpdate): Flags {
    const value = (node: Node): bigint => this.#value(node);
    const bits = 'result' in update ? bitsOf(update.result.type) : 0;
    switch (update.kind) {
      case 'add':
      case 'sub':
        return ofSum(update.kind, value(update.a), value(update.b), value(update.result), bits);
      case 'logic':
        return { ...NO_FLAGS, ...ofResult(value(update.result), bits) };
      case 'increment':
      case 'decrement': {
        const kind = update.kind === 'increment' ? 'add' : 'sub';
        return { ...ofSum(kind, value(update.a), 1n, value(update.result), bits), cf: this.flags.cf };
      }
      case 'result': {
        const [cf, of] = [this.#holds(update.carry), this.#holds(update.overflow)];
        return { ...ofResult(value(update.result), bits), af: false, cf, of };
      }
      case 'carry':
        return { ...this.flags, cf: this.#holds(update.carry) };
      case 'carryOverflow':
        return { ...this.flags, cf: this.#holds(update.carry), of: this.#holds(update.overflow) };
      case 'order':
        return { ...NO_FLAGS, zf: this.#holds(update.equal), cf: this.#holds(update.less) };
      case 'eflags':
        return flagsFrom(value(update.value));
    }
  }
}
