// SPDX-License-Identifier: Apache-2.0

import type { CaseInput } from '../oracle/case.ts';
import { littleEndian } from '../oracle/draft.ts';
import { CODE } from '../oracle/memory-map.ts';
import { createUserState } from '../oracle/records.ts';

/** Opcode of the byte form, and ModRM for RAX and RBX; the wide form is the next opcode. */
// prettier-ignore
const OPERATIONS: readonly (readonly number[])[] = [
  [0x00, 0xd8], [0x08, 0xd8], [0x10, 0xd8], [0x18, 0xd8], [0x20, 0xd8], [0x28, 0xd8], [0x30, 0xd8], [0x38, 0xd8], [0x84, 0xd8], // ADD ... CMP, TEST
  [0xf6, 0xd8], [0xfe, 0xc0], [0xfe, 0xc8], [0xd0, 0xe0], [0xd0, 0xe8], [0xd0, 0xf8], [0xd0, 0xd0], // NEG INC DEC, SHL SHR SAR RCL by one
];
const SIZES = [1, 2, 4, 8];
const HALT = 0xcc;
const PER_PROGRAM = 60;

/** Pairs about every border: zero, one, the largest, the smallest signed number, equal ones. */
function pairs(size: number): (readonly [bigint, bigint])[] {
  const top = 1n << BigInt(8 * size - 1);
  const all = 2n * top - 1n;
  return [
    [0n, 0n],
    [1n, top],
    [top, 1n],
    [all, 1n],
    [top - 1n, all],
    [top, top],
    [5n, all - 5n],
  ];
}

/** MOV RAX; MOV RBX; the operation; then R9 gets one bit more: the condition, by SETcc or by a branch over MOV. */
function snippet(
  operation: readonly number[],
  size: number,
  values: readonly [bigint, bigint],
  condition: number,
  askBySet: boolean,
): number[] {
  const prefix = size === 2 ? [0x66] : size === 8 ? [0x48] : [];
  const [opcode, modrm] = operation;
  const ask = askBySet
    ? [0x0f, 0x90 | condition, 0xc1, 0x0f, 0xb6, 0xc9]
    : [0xb9, 1, 0, 0, 0, 0x70 | condition, 5, 0xb9, 0, 0, 0, 0];
  return [
    ...[0x48, 0xb8, ...littleEndian(values[0], 8), 0x48, 0xbb, ...littleEndian(values[1], 8)],
    ...[...prefix, size === 1 ? opcode : opcode + 1, modrm],
    ...ask,
    ...[0x4d, 0x01, 0xc9, 0x49, 0x01, 0xc9],
  ];
}

/** Programs of many snippets each, that end with INT3. */
export function conditionPrograms(): CaseInput[] {
  const snippets = SIZES.flatMap((size) =>
    OPERATIONS.flatMap((operation) =>
      pairs(size).flatMap((values, n) =>
        Array.from({ length: 16 }, (_, condition) =>
          snippet(operation, size, values, condition, (condition + n) % 2 === 0),
        ),
      ),
    ),
  );
  return Array.from({ length: Math.ceil(snippets.length / PER_PROGRAM) }, (_, index) => {
    const code = Uint8Array.from([...snippets.slice(index * PER_PROGRAM, (index + 1) * PER_PROGRAM).flat(), HALT]);
    const state = createUserState();
    state.rip = BigInt(CODE);
    const allowance = { rflags: 0, general: 0, fsw: 0, memory: [], errorCode: 0 };
    return { form: 'conditions', index, code, state, memory: [], repeat: false, stream: true, allowance };
  });
}
