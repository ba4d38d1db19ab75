// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DecodeStatus, decode } from './decoder.ts';
import { format } from './format.ts';
import { BASE_RIP, Instruction, OperandKind } from './instruction.ts';
import type { CodeSize } from './instruction.ts';

const out = new Instruction();

function bytes(hexadecimal: string): Uint8Array {
  return Uint8Array.from(hexadecimal.split(' '), (byte) => parseInt(byte, 16));
}

function status(hexadecimal: string, size: CodeSize = 64): number {
  const code = bytes(hexadecimal);
  return decode(code, 0, code.length, size, out);
}

function text(hexadecimal: string, size: CodeSize = 64): string {
  const found = status(hexadecimal, size);
  return found === DecodeStatus.OK ? format(out, 0x1000) : `status ${found}`;
}

test('every proper prefix of an instruction is truncated', () => {
  for (const code of [
    '48 81 84 88 78 56 34 12 00 00 00 80',
    '66 c8 00 10 01',
    '0f 38 f0 00',
    'c4 e2 78 f2 c1',
    '48 b8 01 02 03 04 05 06 07 08',
  ]) {
    const all = bytes(code);
    assert.equal(decode(all, 0, all.length, 64, out), DecodeStatus.OK, code);
    assert.equal(out.length, all.length, code);
    for (let limit = 0; limit < all.length; limit++)
      assert.equal(decode(all, 0, limit, 64, out), DecodeStatus.TRUNCATED, `${code} cut at ${limit}`);
  }
});

test('15 bytes are decoded, 16 are too long, and 15 prefixes without more bytes are too long', () => {
  const prefixes = Array.from({ length: 14 }, () => '2e').join(' ');
  assert.equal(status(`${prefixes} 90`), DecodeStatus.OK);
  assert.equal(out.length, 15);
  assert.equal(status(`2e ${prefixes} 90`), DecodeStatus.TOO_LONG);
  assert.equal(status(`2e ${prefixes}`), DecodeStatus.TOO_LONG);
  assert.equal(status(prefixes), DecodeStatus.TRUNCATED);
});

test('an undefined opcode is undefined before its operands are fetched', () => {
  assert.equal(status('0f 04'), DecodeStatus.UNDEFINED);
  assert.equal(status('ff f8'), DecodeStatus.UNDEFINED);
});

test('LOCK needs a row that allows it and a destination in memory', () => {
  assert.equal(text('f0 01 18'), 'lock add dword ptr [rax], ebx');
  assert.equal(status('f0 01 d8'), DecodeStatus.UNDEFINED);
  assert.equal(status('f0 03 18'), DecodeStatus.UNDEFINED);
  assert.equal(status('f0 39 18'), DecodeStatus.UNDEFINED);
  assert.equal(status('f0 90'), DecodeStatus.UNDEFINED);
});

test('REX counts only directly before the opcode', () => {
  assert.equal(text('48 01 d8'), 'add rax, rbx');
  assert.equal(text('48 66 01 d8'), 'add ax, bx');
  assert.equal(text('66 48 01 d8'), 'add rax, rbx');
  assert.equal(text('40 88 e0'), 'mov al, spl');
  assert.equal(text('88 e0'), 'mov al, ah');
});

test('F2 and F3 take precedence over 66 as mandatory prefixes, the last of the two holds', () => {
  assert.equal(text('66 f3 0f 10 c1'), 'movss xmm0, xmm1');
  assert.equal(text('f3 66 0f b8 c1'), 'popcnt ax, cx');
  assert.equal(text('f2 f3 0f 10 c1'), 'movss xmm0, xmm1');
  assert.equal(text('f3 f2 0f 10 c1'), 'movsd xmm0, xmm1');
});

test('a mandatory 66 is no operand-size prefix', () => {
  assert.equal(text('66 0f 38 f6 c1', 32), 'adcx eax, ecx');
  assert.equal(out.operandSize, 32);
  assert.equal(text('66 0f 38 f1 08', 32), 'movbe word ptr [eax], cx');
});

test('near branches keep 64 bits whatever the prefixes', () => {
  assert.equal(text('66 e8 00 01 00 00'), 'call 0x1106');
  assert.equal(out.length, 6);
  assert.equal(text('66 e8 00 01', 32), 'call 0x1104');
  assert.equal(text('66 50'), 'push ax');
  assert.equal(text('50'), 'push rax');
});

test('NOP, PAUSE and XCHG share an opcode', () => {
  assert.equal(text('90'), 'nop');
  assert.equal(text('f3 90'), 'pause');
  assert.equal(text('41 90'), 'xchg r8d, eax');
  assert.equal(text('48 90'), 'nop');
  assert.equal(text('93'), 'xchg ebx, eax');
});

test('segment overrides, and SS for a base of rSP or rBP', () => {
  assert.equal(text('8b 45 00'), 'mov eax, dword ptr [rbp]');
  assert.equal(out.memory.segment, 2);
  assert.equal(text('41 8b 45 00'), 'mov eax, dword ptr [r13]');
  assert.equal(out.memory.segment, 3);
  assert.equal(text('8b 04 24', 32), 'mov eax, dword ptr [esp]');
  assert.equal(out.memory.segment, 2);
  assert.equal(text('3e 8b 04 24', 32), 'mov eax, dword ptr ds:[esp]');
  assert.equal(out.memory.segment, 3);
  assert.equal(text('64 2e 8b 00'), 'mov eax, dword ptr fs:[rax]');
  assert.equal(text('8b 42 10', 16), 'mov ax, word ptr [bp+si+0x10]');
  assert.equal(out.memory.segment, 2);
});

test('MOV to and from control and debug registers ignores ModRM.mod; missing registers are undefined', () => {
  assert.equal(text('0f 20 00'), 'mov rax, cr0');
  assert.equal(text('44 0f 22 c0'), 'mov cr8, rax');
  assert.equal(text('0f 23 f8', 32), 'mov dr7, eax');
  assert.equal(status('0f 20 08'), DecodeStatus.UNDEFINED);
  assert.equal(status('44 0f 21 c0'), DecodeStatus.UNDEFINED);
  assert.equal(status('8e c8'), DecodeStatus.UNDEFINED);
  assert.equal(status('8c f0'), DecodeStatus.UNDEFINED);
});

test('C4 and C5 are VEX in 64-bit mode, and elsewhere where mod is 3', () => {
  assert.equal(text('c4 e2 78 f2 c1'), 'andn eax, eax, ecx');
  assert.equal(text('c4 e2 f8 f2 c1'), 'andn rax, rax, rcx');
  assert.equal(text('c4 e2 f8 f2 c1', 32), 'andn eax, eax, ecx');
  assert.equal(text('c4 06 34 12', 16), 'les ax, dword ptr [0x1234]');
  assert.equal(status('66 c4 e2 78 f2 c1'), DecodeStatus.UNDEFINED);
  assert.equal(status('48 c4 e2 78 f2 c1'), DecodeStatus.UNDEFINED);
  assert.equal(status('c4 e2 7c f2 c1'), DecodeStatus.UNDEFINED);
  assert.equal(status('c4 e3 73 f0 c1 05'), DecodeStatus.UNDEFINED);
  assert.equal(status('c5 f8 10 c1'), DecodeStatus.UNDEFINED);
});

test('opcodes that differ by mode', () => {
  assert.equal(text('48 63 c1'), 'movsxd rax, ecx');
  assert.equal(text('63 c1', 32), 'arpl cx, ax');
  assert.equal(text('40', 32), 'inc eax');
  assert.equal(status('06'), DecodeStatus.UNDEFINED);
  assert.equal(status('0f 05', 32), DecodeStatus.UNDEFINED);
  assert.equal(text('48 0f c7 08'), 'cmpxchg16b xmmword ptr [rax]');
  assert.equal(text('0f c7 08'), 'cmpxchg8b qword ptr [rax]');
});

test('immediates are extended as the row says', () => {
  assert.equal(text('48 83 c0 ff'), 'add rax, -0x1');
  assert.deepEqual([out.immediateLow, out.immediateHigh], [-1, -1]);
  assert.equal(text('cd 80'), 'int 0x80');
  assert.deepEqual([out.immediateLow, out.immediateHigh], [0x80, 0]);
  assert.equal(text('48 b8 88 77 66 55 44 33 22 f1'), 'mov rax, 0xf122334455667788');
  assert.deepEqual([out.immediateLow, out.immediateHigh], [0x55667788, 0xf1223344 | 0]);
  assert.equal(text('b8 00 00 00 80'), 'mov eax, 0x80000000');
  assert.deepEqual([out.immediateLow, out.immediateHigh], [-0x80000000, 0]);
  assert.equal(text('c8 00 10 01'), 'enter 0x1000, 0x1');
  assert.equal(out.secondImmediate, 1);
  assert.equal(text('ea 78 56 34 12 10 00', 32), 'jmp 0x10:0x12345678');
  assert.deepEqual([out.immediateLow, out.secondImmediate], [0x12345678, 0x10]);
});

test('an instruction leaves nothing behind for the next', () => {
  status('f0 64 67 48 01 84 88 10 00 00 00');
  assert.equal(status('c3'), DecodeStatus.OK);
  assert.deepEqual(
    [out.lock, out.rex, out.segmentOverride, out.addressSize, out.memory.base, out.memory.index, out.operandCount],
    [false, 0, -1, 64, -1, -1, 0],
  );
  assert.deepEqual(
    out.operands.map((operand) => operand.kind),
    [0, 0, 0, 0],
  );
});

test('a RIP-relative operand', () => {
  assert.equal(text('48 8d 05 f9 ff ff ff'), 'lea rax, [rip-0x7] # 0x1000');
  assert.equal(out.memory.base, BASE_RIP);
  assert.equal(out.operands[1].kind, OperandKind.MEMORY);
  assert.equal(out.operands[1].size, 0);
  assert.equal(text('8d 05 f9 ff ff ff', 32), 'lea eax, [0xfffffff9]');
});
