// SPDX-License-Identifier: Apache-2.0

import { Addressing, VariableWidth } from '../../src/arch/instructions/operand-notation.ts';
import { PrefixClass } from '../../src/arch/instructions/row.ts';
import type { OpcodeRow } from '../../src/arch/instructions/row.ts';
import { opcodeTable } from '../../src/arch/instructions/table.ts';
import { decode, DecodeStatus } from '../../src/decode/decoder.ts';
import { Instruction, OperandKind } from '../../src/decode/instruction.ts';
import { makeCase } from './make-case.ts';
import type { Form } from './form.ts';

// A row of the opcode table has several variants: its operand in a register or in memory, each operand size, LOCK, REP,
// both address sizes. What a form covers is read off its cases by the decoder, not off its name.

/** `01 Ev Gv` and so on: unique, as table.test.ts says. */
export function rowName(row: OpcodeRow): string {
  return `${row.encoding} ${row.mnemonic} ${row.operandText}`.trimEnd();
}

const V_LIKE = new Set<number>([VariableWidth.V, VariableWidth.A, VariableWidth.P]);

/** The operand sizes at which a row does something different in 64-bit mode; none where it has but one. */
export function sizesOf(row: OpcodeRow): readonly number[] {
  const no66 = row.mandatoryPrefix === PrefixClass.X66 || row.mandatoryPrefix === PrefixClass.NONE;
  return everySize(row).filter((size) => size !== 16 || !no66);
}

function everySize(row: OpcodeRow): readonly number[] {
  const widths = row.operands.flatMap(({ width, memoryWidth }) => [width, memoryWidth]);
  const named = row.bySize !== undefined && new Set(row.bySize).size > 1;
  if (row.force64) return [];
  if (row.default64) return [16, 64];
  if (row.w === 1) return [];
  if (named && /^(F?X|SYS)/.test(row.mnemonic)) return [32, 64];
  if (named || widths.some((width) => V_LIKE.has(width))) return withoutRexW(row) ? [16, 32] : [16, 32, 64];
  if (widths.includes(VariableWidth.Y)) return [32, 64];
  if (widths.includes(VariableWidth.Z) || FAR_RETURNS.has(row.mnemonic)) return [16, 32, 64];
  if (widths.some((width) => width === VariableWidth.X87_ENVIRONMENT || width === VariableWidth.X87_STATE))
    return [16, 32];
  return [];
}

/** RETF and IRET have no operand that would say so. */
const FAR_RETURNS = new Set(['RETF', 'IRET']);

/** REX.W makes another row of it. */
function withoutRexW(row: OpcodeRow): boolean {
  return opcodeTable.some(
    (other) => other.w === 1 && other.map === row.map && other.opcode === row.opcode && other.digit === row.digit,
  );
}

const EITHER = new Set<number>([Addressing.E, Addressing.Q, Addressing.W, Addressing.R, Addressing.U, Addressing.N]);

function kindsOf(row: OpcodeRow): readonly string[] {
  if (!row.hasModrm || row.modrm >= 0) return [''];
  if (row.modIgnored) return ['register'];
  if (row.mod !== 'any') return [row.mod];
  return row.operands.some(({ addressing }) => EITHER.has(addressing)) ? ['register', 'memory'] : [''];
}

/** Every variant of a row that must have a case. */
export function variantsOf(row: OpcodeRow): string[] {
  const sizes = sizesOf(row).length > 0 ? sizesOf(row) : [0];
  return sizes.flatMap((size) => {
    const text = size ? ` ${size}` : '';
    if (row.repeat !== 'none') return stringVariants(row).map((variant) => `${variant}${text}`);
    const plain = kindsOf(row).map((kind) => `${kind}${text}`.trim());
    return row.lock ? [...plain, `LOCK memory${text}`] : plain;
  });
}

function stringVariants(row: OpcodeRow): string[] {
  const prefixes = row.repeat === 'REP' ? ['once', 'REP'] : ['once', 'REPE', 'REPNE'];
  return prefixes.flatMap((prefix) => [`${prefix} address 64`, `${prefix} address 32`]);
}

/** The variant that an instruction is. */
function variantOf(instruction: Instruction): string {
  const { opcode: row, operandSize, lock, rep, addressSize } = instruction;
  const size = sizesOf(row).length > 0 ? ` ${sizeClass(row, operandSize)}` : '';
  if (row.repeat !== 'none') {
    const repeated = row.repeat === 'REP' ? 'REP' : rep === 0xf2 ? 'REPNE' : 'REPE';
    return `${rep === 0 ? 'once' : repeated} address ${addressSize}${size}`;
  }
  const memory = instruction.operands.some(({ kind }) => kind === OperandKind.MEMORY);
  const kind = kindsOf(row).length === 1 ? kindsOf(row)[0] : memory ? 'memory' : 'register';
  return `${lock ? 'LOCK ' : ''}${kind}${size}`.trim();
}

/** A Y operand has 32 bits at operand size 16 too. */
function sizeClass(row: OpcodeRow, operandSize: number): number {
  const sizes = sizesOf(row);
  return sizes.includes(operandSize) ? operandSize : operandSize === 16 ? sizes[0] : 32;
}

/** Variants of rows that the first `cases` cases of the forms are, as `rowName: variant`. */
export function coveredBy(forms: readonly Form[], cases: number): Map<string, Set<string>> {
  const covered = new Map<string, Set<string>>();
  const instruction = new Instruction();
  for (const form of forms) {
    for (let index = 0; index < cases; index++) {
      const { code } = makeCase(form, 1, index);
      if (decode(code, 0, code.length, 64, instruction) !== DecodeStatus.OK) continue;
      const name = rowName(instruction.opcode);
      const variants = covered.get(name) ?? new Set();
      covered.set(name, variants.add(variantOf(instruction)));
    }
  }
  return covered;
}
