// SPDX-License-Identifier: Apache-2.0

import { FS, GS, SS, STATE, generalOffset } from '../../src/machine/cpu/state.ts';
import { decode, DecodeStatus } from '../../src/decode/decoder.ts';
import { BASE_RIP, Instruction, OperandKind, type Operand } from '../../src/decode/instruction.ts';
import { describeForm, DESCRIPTIONS, formsOf, type Form } from '../../src/machine/cpu/interpreter/forms.ts';
import type { FormPlace } from '../../src/machine/cpu/interpreter/module.ts';
import { MODE } from '../../src/machine/cpu/mode.ts';
import { SYSTEM_CALLS } from '../../src/machine/cpu/operations/system-calls.ts';
import { TIME } from '../../src/machine/cpu/operations/time.ts';
import type { Operation } from '../../src/machine/cpu/operations/operation.ts';
import { matchForm } from '../../src/machine/cpu/translation/signature.ts';
import type { CpuUnderTest, StepResult, UserState } from '../oracle/cpu-under-test.ts';
import { REGIONS } from '../oracle/memory-map.ts';
import { Escape, Evaluation, type Surroundings } from './evaluation.ts';
import { eflagsOf, flagsFrom } from './flags.ts';
import { fetchFault, ReferenceFault, ReferenceMemory } from './memory.ts';
import { Registers } from './registers.ts';

const ARITHMETIC_FLAGS = 0x8d5n;
const ALIGNMENT_CHECK = 0x40000n;
const NO_VECTOR = -1;
const BREAKPOINT = 3;
const UNDEFINED_OPCODE = 6;
const GENERAL_PROTECTION = 13;
/** 64-bit code with flat segments at CPL 3. */
const USER_MODE = MODE.code64 | MODE.flat;

/** Privileged, or a matter of virtual time: their descriptions speak of state that a program does not have. */
const OUTSIDE = new Set([...SYSTEM_CALLS, ...TIME].map(({ mnemonic }) => mnemonic));

/** Forms that the reference can execute, by key. */
export const PLACES: ReadonlyMap<string, FormPlace> = new Map(
  formsOf(DESCRIPTIONS)
    .filter(({ key, simpleAddress, fused }) => !OUTSIDE.has(key.split(':')[0]) && !simpleAddress && !fused)
    .map((form) => [form.key, { form, handler: -1, cold: -1 }]),
);
const operations = new Map<Form, Operation>();

function operationOf(form: Form): Operation {
  let operation = operations.get(form);
  if (!operation) operations.set(form, (operation = describeForm(form)));
  return operation;
}

/** What an instruction came to: `outside` if no description tells, and then nothing has happened. */
export type ReferenceResult = StepResult | { readonly kind: 'outside'; readonly mnemonic: string };

/** A processor in user mode that executes descriptions as they read: BigInts for registers, no code emitted, no lazy flags. */
export class ReferenceProcessor implements CpuUnderTest {
  readonly #registers = new Registers();
  readonly #memory = new ReferenceMemory(REGIONS);
  readonly #instruction = new Instruction();
  #flags = flagsFrom(0n);
  #otherFlags = 0n;
  #rip = 0n;
  #bases: readonly [bigint, bigint] = [0n, 0n];
  #selectors: Uint8Array = new Uint8Array(4);
  /** The mnemonic of the last instruction, if no description did it. */
  outside: string | undefined;
  /** Keys of the forms that have been executed to their end. */
  readonly executed = new Set<string>();

  set(state: UserState): void {
    const registers = this.#registers;
    state.general.forEach((value, n) => registers.write(generalOffset(n), 64, value));
    this.#rip = state.rip;
    this.#flags = flagsFrom(state.rflags);
    this.#otherFlags = state.rflags & ~ARITHMETIC_FLAGS;
    registers.write(STATE.flagsOther, 32, this.#otherFlags);
    this.#bases = [state.fsBase, state.gsBase];
    this.#selectors = state.selectors;
    for (const name of ['mxcsr', 'fcw', 'fsw', 'ftw'] as const) registers.write(STATE[name], 32, BigInt(state[name]));
    for (let n = 0; n < 16; n++)
      registers.write(STATE.xmm + 16 * n, 128, fromBytes(state.xmm.subarray(16 * n, 16 * n + 16)));
    const top = (state.fsw >> 11) & 7;
    for (let n = 0; n < 8; n++)
      registers.write(STATE.x87 + 16 * ((top + n) & 7), 128, fromBytes(state.st.subarray(16 * n, 16 * n + 16)));
  }

  get(): UserState {
    const registers = this.#registers;
    const top = Number(registers.read(STATE.fsw, 32) >> 11n) & 7;
    const vectors = (start: number, order: readonly number[]): Uint8Array =>
      Uint8Array.from(order.flatMap((n) => toBytes(registers.read(start + 16 * n, 128))));
    return {
      general: BigUint64Array.from({ length: 16 }, (_, n) => registers.read(generalOffset(n), 64)),
      rip: this.#rip,
      rflags: registers.read(STATE.flagsOther, 32) | eflagsOf(this.#flags),
      fsBase: this.#bases[0],
      gsBase: this.#bases[1],
      selectors: this.#selectors,
      mxcsr: Number(registers.read(STATE.mxcsr, 32)),
      fcw: Number(registers.read(STATE.fcw, 32)),
      fsw: Number(registers.read(STATE.fsw, 32)),
      ftw: Number(registers.read(STATE.ftw, 32)),
      st: vectors(
        STATE.x87,
        Array.from({ length: 8 }, (_, n) => (top + n) & 7),
      ),
      xmm: vectors(
        STATE.xmm,
        Array.from({ length: 16 }, (_, n) => n),
      ),
    };
  }

  writeMemory(address: bigint, bytes: Uint8Array): void {
    this.#memory.write(address, bytes);
  }
  readMemory(address: bigint, length: number): Uint8Array {
    return this.#memory.read(address, length);
  }

  /** As `execute`; an instruction that no description tells of does nothing, and `outside` names it: the answer is then none. */
  step(): StepResult {
    const result = this.execute();
    this.outside = result.kind === 'outside' ? result.mnemonic : undefined;
    return result.kind === 'outside' ? { kind: 'fault', vector: NO_VECTOR } : result;
  }

  /** To a fault, to an instruction that no description tells of, or over INT3. */
  run(): StepResult {
    for (;;) {
      const result = this.step();
      if (this.outside === 'INT3') {
        this.#rip++;
        return { kind: 'fault', vector: BREAKPOINT };
      }
      if (result.kind === 'fault') return result;
    }
  }

  execute(): ReferenceResult {
    try {
      return this.#execute();
    } catch (fault) {
      if (fault instanceof Escape) return { kind: 'outside', mnemonic: this.#instruction.opcode.mnemonic };
      if (!(fault instanceof ReferenceFault)) throw fault;
      const { vector, errorCode, address } = fault;
      return { kind: 'fault', vector, errorCode, ...(address === undefined ? {} : { address }) };
    }
  }

  #execute(): ReferenceResult {
    const instruction = this.#instruction;
    this.#decode();
    const match = matchForm(PLACES, instruction, USER_MODE);
    if (!match) return { kind: 'outside', mnemonic: instruction.opcode.mnemonic };
    const evaluation = new Evaluation(this.#surroundings(match.condition), this.#flags);
    evaluation.run(operationOf(match.place.form).statements);
    this.executed.add(match.place.form.key);
    this.#flags = evaluation.flags;
    this.#rip = evaluation.rip;
    return { kind: 'ok' };
  }

  #decode(): void {
    const bytes = this.#memory.fetch(this.#rip);
    const status = decode(bytes, 0, bytes.length, 64, this.#instruction);
    if (status === DecodeStatus.TRUNCATED) throw fetchFault(this.#rip + BigInt(bytes.length));
    if (status === DecodeStatus.TOO_LONG) throw new ReferenceFault(GENERAL_PROTECTION);
    if (status === DecodeStatus.UNDEFINED) throw new ReferenceFault(UNDEFINED_OPCODE);
  }

  #surroundings(condition: number): Surroundings {
    const instruction = this.#instruction;
    const nextRip = BigInt.asUintN(64, this.#rip + BigInt(instruction.length));
    const immediate = (BigInt(instruction.immediateHigh >>> 0) << 32n) | BigInt(instruction.immediateLow >>> 0);
    return {
      registers: this.#registers,
      memory: this.#memory,
      slots: instruction.operands.map(slotOf),
      address: this.#address(nextRip),
      inStack:
        instruction.memory.segment === SS && instruction.operands.some(({ kind }) => kind === OperandKind.MEMORY),
      immediate,
      condition,
      nextRip,
      target: BigInt.asUintN(64, nextRip + immediate),
      alignmentChecks: (this.#otherFlags & ALIGNMENT_CHECK) !== 0n,
    };
  }

  /** See: SDM Volume 1 3.7.5 Specifying an Offset; 3.7.5.1 Specifying an Offset in 64-Bit Mode. */
  #address(nextRip: bigint): bigint {
    const { memory, addressSize, opcode } = this.#instruction;
    const register = (n: number): bigint => (n < 0 ? 0n : this.#registers.read(generalOffset(n), 64));
    const base = memory.base === BASE_RIP ? nextRip : register(memory.base);
    const displacement = (BigInt(memory.displacementHigh) << 32n) | BigInt(memory.displacementLow >>> 0);
    const offset = BigInt.asUintN(addressSize, base + (register(memory.index) << BigInt(memory.scale)) + displacement);
    if (opcode.mnemonic === 'LEA') return offset;
    const segmentBase = memory.segment === FS ? this.#bases[0] : memory.segment === GS ? this.#bases[1] : 0n;
    return BigInt.asUintN(64, segmentBase + offset);
  }
}

function slotOf({ kind, register, high8 }: Operand): number {
  if (kind === OperandKind.XMM) return STATE.xmm + 16 * register;
  if (kind === OperandKind.MMX) return STATE.x87 + 16 * register;
  return kind === OperandKind.GENERAL ? generalOffset(register, high8) : -1;
}

function fromBytes(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
function toBytes(value: bigint): number[] {
  return Array.from({ length: 16 }, (_, n) => Number((value >> BigInt(8 * n)) & 0xffn));
}
