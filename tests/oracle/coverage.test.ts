// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { opcodeTable } from '../../src/arch/instructions/table.ts';
import { decode, DecodeStatus } from '../../src/decode/decoder.ts';
import { Instruction, OperandKind } from '../../src/decode/instruction.ts';
import type { CaseInput } from './case.ts';
import { coveredBy, rowName, variantsOf } from './coverage.ts';
import { makeCase } from './make-case.ts';
import { isCounted, undefinedByCount, undefinedFlags } from './flags-affected.ts';
import { FORMS } from './forms.ts';
import { NOT_COMPARED } from './not-compared.ts';

const CASES = 100;

describe('every row of the opcode table, in every operand form, has a case', () => {
  const covered = coveredBy(FORMS, CASES);
  const rows = opcodeTable.filter((row) => !row.no64);
  const missing = new Map(
    rows
      .map(
        (row) => [rowName(row), variantsOf(row).filter((variant) => !covered.get(rowName(row))?.has(variant))] as const,
      )
      .filter(([, variants]) => variants.length > 0),
  );
  const variantsByRow = new Map(rows.map((row) => [rowName(row), variantsOf(row)]));

  test('or is listed as not compared', () => {
    const listed = new Map(NOT_COMPARED.map(({ row, variants }) => [row, variants ?? variantsByRow.get(row)]));
    const without = [...missing].map(([row, variants]) => [
      row,
      variants.filter((variant) => !listed.get(row)?.includes(variant)),
    ]);
    assert.deepEqual(
      without.filter(([, variants]) => variants.length > 0),
      [],
    );
  });

  test('nothing is listed that has a case, or that does not exist', () => {
    for (const { row, variants } of NOT_COMPARED) {
      assert.ok(variantsByRow.has(row), `no row ${row}`);
      assert.deepEqual(missing.get(row), variants ?? variantsByRow.get(row), row);
    }
  });

  test('what a row requires is read off its notation', () => {
    const variants = (name: string): readonly string[] | undefined => variantsByRow.get(name);
    // prettier-ignore
    assert.deepEqual(variants('01 ADD Ev Gv'), [
      'register 16', 'memory 16', 'LOCK memory 16', 'register 32', 'memory 32', 'LOCK memory 32', 'register 64', 'memory 64', 'LOCK memory 64',
    ]);
    assert.deepEqual(variants('50+r PUSH Zv'), ['16', '64']);
    assert.deepEqual(variants('F2 0F 58 ADDSD Vsd Wsd'), ['register', 'memory']);
    // prettier-ignore
    assert.deepEqual(variants('AE SCAS AL Yb'), [
      'once address 64', 'once address 32', 'REPE address 64', 'REPE address 32', 'REPNE address 64', 'REPNE address 32',
    ]);
    assert.equal(variantsByRow.size, rows.length);
    assert.ok([...variantsByRow.values()].flat().length > 2400);
  });
});

/** More bytes than this are no instruction, only prefixes too many. */
const LONGEST = 15;

/** The masked count that a shift or rotate uses. */
function countOf({ code, state }: CaseInput, instruction: Instruction): { count: number; bits: number } {
  assert.equal(decode(code, 0, code.length, 64, instruction), DecodeStatus.OK);
  const bits = instruction.operands[0].size;
  const last = instruction.operands[instruction.operandCount - 1];
  const raw = last.kind === OperandKind.IMMEDIATE ? instruction.immediateLow : Number(state.general[1] & 0xffn);
  return { count: raw & (bits === 64 ? 63 : 31), bits };
}

/** FCOMI and its kin change RFLAGS on AMD's processors even when they fault; that is no matter of undefined flags. */
const COMPARES_TO_FLAGS = /^fu?comip?$/;

describe('flags that are not compared', () => {
  test('are undefined in the manual', () => {
    const instruction = new Instruction();
    for (const form of FORMS) {
      if (COMPARES_TO_FLAGS.test(form.mnemonic)) continue;
      for (let index = 0; index < CASES; index++) {
        const input = makeCase(form, 1, index);
        let allowed = undefinedFlags(form.mnemonic);
        if (isCounted(form.mnemonic)) {
          if (input.code.length > LONGEST) continue;
          const { count, bits } = countOf(input, instruction);
          allowed = undefinedByCount(form.mnemonic, count, bits);
        }
        assert.equal(input.allowance.rflags & ~allowed, 0, `${form.name} #${index}`);
      }
    }
  });
});
