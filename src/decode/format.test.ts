// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeStatus, decode } from './decoder.ts';
import { format } from './format.ts';
import { Instruction } from './instruction.ts';
import type { CodeSize } from './instruction.ts';

const KERNEL = 0xffffffff81000000n;

// prettier-ignore
const EXPECTED: readonly (readonly [size: CodeSize, code: string, text: string])[] = [
  [64, 'f3 48 a5',                   'rep movsq qword ptr es:[rdi], qword ptr ds:[rsi]'],
  [64, 'f2 ae',                      'repne scasb al, byte ptr es:[rdi]'],
  [32, '65 f3 a6',                   'repe cmpsb byte ptr gs:[esi], byte ptr es:[edi]'],
  [16, 'f3 6d',                      'rep insw word ptr es:[di], dx'],
  [64, '48 98',                      'cdqe'],
  [64, '48 cf',                      'iretq'],
  [64, '67 e3 fe',                   'jecxz 0xffffffff81000001'],
  [64, 'eb fe',                      'jmp 0xffffffff81000000'],
  [16, 'e9 00 10',                   'jmp 0x1003'],
  [64, '65 48 8b 04 25 28 00 00 00', 'mov rax, qword ptr gs:[0x28]'],
  [64, '48 a1 88 77 66 55 44 33 22 11', 'mov rax, qword ptr [0x1122334455667788]'],
  [64, '42 8b 44 89 fc',             'mov eax, dword ptr [rcx+r9*4-0x4]'],
  [64, '6a f0',                      'push -0x10'],
  [64, '68 00 00 00 80',             'push -0x80000000'],
  [32, '81 38 00 00 00 80',          'cmp dword ptr [eax], 0x80000000'],
  [64, 'd9 c9',                      'fxch st0, st1'],
  [64, 'db 2c 24',                   'fld tbyte ptr [rsp]'],
  [64, '66 0f 6f c8',                'movdqa xmm1, xmm0'],
  [64, '66 48 0f 6e c0',             'movq xmm0, rax'],
  [64, '0f 6f 08',                   'movq mm1, qword ptr [rax]'],
  [64, '0f 01 10',                   'lgdt tbyte ptr [rax]'],
  [64, '66 0f 38 80 08',             'invept rcx, xmmword ptr [rax]'],
  [64, '0f 78 c8',                   'vmread rax, rcx'],
  [64, '0f ae 20',                   'xsave [rax]'],
  [64, '8e d8',                      'mov ds, ax'],
  [64, 'f3 0f 1e fa',                'endbr64'],
  [64, 'd1 e0',                      'shl eax, 0x1'],
];

test('text of instructions', () => {
  const out = new Instruction();
  for (const [size, code, text] of EXPECTED) {
    const bytes = Uint8Array.from(code.split(' '), (byte) => parseInt(byte, 16));
    assert.equal(decode(bytes, 0, bytes.length, size, out), DecodeStatus.OK, code);
    assert.equal(format(out, size === 16 ? 0n : KERNEL), text, code);
  }
});
