// SPDX-License-Identifier: Apache-2.0
// Ways through code that are not a loop with a call in it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dword } from './assembler.ts';
import { rounds, sameAsInterpreted } from './jit-runs.ts';
import type { Program, Run } from './jit-runs.ts';

const SLICES = [undefined, 1, 7, 1000];
const indices = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

const adding = (n: number): string => `t${n}: \n 05 ${dword(n + 3)} ; add eax, n + 3`;
const table = (n: number): string =>
  `table: \n ${indices(n)
    .map((i) => `:t${i}`)
    .join(' ')}`;

function check(program: Program, slices = SLICES): Run[] {
  return sameAsInterpreted(program, slices);
}

describe('indirect jumps', () => {
  const inPage = (n: number): string =>
    indices(n)
      .map((i) => `${adding(i)} \n e9 >join`)
      .join('\n');

  test('a table of 32 targets in the page', () => {
    const text = rounds(3000, 32, `ff 24 cd =table ; jmp [table + rcx * 8] \n ${inPage(32)}`);
    const runs = check({ text: `${text} \n @ 20000 \n ${table(32)}` });
    assert.ok(
      runs.some(({ counts }) => counts.recompiled > 0),
      'the targets were learned',
    );
  });

  test('through a register, to 64 targets in four other pages', () => {
    const pages = indices(4)
      .map(
        (p) =>
          `@ 1${p + 1}000 \n ${indices(16)
            .map((i) => `${adding(p * 16 + i)} \n e9 >join`)
            .join('\n')}`,
      )
      .join('\n');
    const text = rounds(3000, 64, '48 8b 14 cd =table ff e2 ; mov rdx, [table + rcx * 8]; jmp rdx');
    check({ text: `${text} \n ${pages} \n @ 20000 \n ${table(64)}` });
  });

  test('to places in the page and in others, in turn', () => {
    const text = rounds(3000, 4, `ff 24 cd =table \n ${inPage(2)}`);
    check({
      text: `${text} \n @ 12000 \n ${adding(2)} \n e9 >join \n @ 13ff8 \n ${adding(3)} \n e9 >join \n @ 20000 \n ${table(4)}`,
    });
  });

  test('a target that changes late, and back', () => {
    const text = rounds(
      8000,
      4,
      `
        44 89 fa                           ; mov edx, r15d
        81 e2 ff 07 00 00                  ; and edx, 7ffh
        75 ~stays                          ; jnz stays
        48 8b 1c 25 =table                 ; mov rbx, [table]
        48 87 1c 25 =late                  ; xchg [late], rbx
        48 89 1c 25 =table                 ; mov [table], rbx
      stays:
        ff 24 cd =table                    ; jmp [table + rcx * 8]
      ${inPage(8)}`,
    );
    check({ text: `${text} \n @ 20000 \n ${table(4)} \n late: \n :t7` });
  });

  test('into the middle of blocks that are compiled already, and of instructions', () => {
    // From t2: ADD EDX, 305h and NOP; from t3, its immediate: ADD EAX, 90000003h.
    const text = rounds(
      3000,
      4,
      `
        ff 24 cd =table                    ; jmp [table + rcx * 8]
      t0:
        05 01 00 00 00                     ; add eax, 1
      t1:
        83 c0 07                           ; add eax, 7
      t2:
        81 c2
      t3:
        05 03 00 00
        90
        e9 >join`,
    );
    check({ text: `${text} \n @ 20000 \n ${table(4)}` });
  });
});

describe('calls', () => {
  test('through a table, to functions in the page and in others', () => {
    const text = rounds(3000, 8, `ff 14 cd =table ; call [table + rcx * 8]`);
    const functions = indices(8)
      .map((i) => `@ 1${i}800 \n ${adding(i)} \n c3`)
      .join('\n');
    check({ text: `${text} \n ${functions} \n @ 20000 \n ${table(8)}` });
  });

  for (const depth of [98, 99, 100, 101, 102, 103, 350])
    test(`${depth} deep`, () => {
      const text = `
          41 bf 28 00 00 00                ; mov r15d, 40
        loop:
          bf ${dword(depth)}                ; mov edi, depth
          e8 >f                            ; call f
          41 ff cf                         ; dec r15d
          75 ~loop                         ; jnz loop
          f4
        @ 11000
        f:
          57                               ; push rdi
          ff cf                            ; dec edi
          74 ~bottom                       ; jz bottom
          e8 >f                            ; call f
        bottom:
          48 6b c0 0d                      ; imul rax, rax, 13
          5f                               ; pop rdi
          48 01 f8                         ; add rax, rdi
          c3`;
      check({ text }, [undefined, 7]);
    });

  test('two functions that call each other across pages, with the state of each on the stack', () => {
    const text = `
        41 bf 28 00 00 00                  ; mov r15d, 40
      loop:
        bf c8 00 00 00                     ; mov edi, 200
        e8 >f                              ; call f
        41 ff cf                           ; dec r15d
        75 ~loop                           ; jnz loop
        f4
      @ 11000
      f:
        85 ff                              ; test edi, edi
        74 ~end                            ; jz end
        57 ff cf                           ; push rdi; dec edi
        e8 >g                              ; call g
        5f 01 f8                           ; pop rdi; add eax, edi
        c3
      end:
        48 ff c0 c3                        ; inc rax; ret
      @ 12000
      g:
        f6 c2 01                           ; test dl, 1
        48 6b c0 0d                        ; imul rax, rax, 13
        ff c2                              ; inc edx
        e8 >f                              ; call f
        48 35 55 01 00 00                  ; xor rax, 155h
        c3`;
    check({ text });
  });

  test('that return elsewhere: further on, to another page, or by a chain of pushed addresses', () => {
    const text = rounds(
      3000,
      4,
      `
        e8 >leaf                           ; call leaf
        05 01 00 00 00                     ; add eax, 1: often skipped
        35 55 00 00 00                     ; xor eax, 55h`,
    );
    check(
      {
        text: `${text}
        @ 11000
        leaf:
          ff c9                            ; dec ecx
          74 ~further                      ; jz further
          ff c9                            ; dec ecx
          74 ~elsewhere                    ; jz elsewhere
          ff c9                            ; dec ecx
          74 ~chain                        ; jz chain
          c3
        further:
          48 83 04 24 05                   ; add qword [rsp], 5
          c3
        elsewhere:
          48 c7 04 24 =other               ; mov qword [rsp], other
          c3
        chain:
          68 =other                        ; push other
          68 =third                        ; push third
          c3
        @ 12000
        other:
          ff c0                            ; inc eax
          bc 00 f0 03 00                   ; mov esp, 3f000h: the chain leaves something
          e9 >join
        @ 13000
        third:
          48 6b c0 11                      ; imul rax, rax, 17
          c3`,
      },
      [undefined, 7],
    );
  });
});

describe('loops', () => {
  test('irreducible: entered at two places, by turns', () => {
    check({
      text: rounds(
        2000,
        2,
        `
          83 e2 0f                         ; and edx, 15
          ff c2                            ; inc edx
          85 c9                            ; test ecx, ecx
          74 ~second                       ; jz second
        first:
          05 03 00 00 00                   ; add eax, 3
          ff ca                            ; dec edx
          74 ~out                          ; jz out
        second:
          35 99 00 00 00                   ; xor eax, 99h
          48 d1 c0                         ; rol rax, 1
          ff ca                            ; dec edx
          75 ~first                        ; jnz first
        out:`,
      ),
    });
  });

  test('two irreducible ones, one in the other', () => {
    check({
      text: rounds(
        1000,
        4,
        `
          83 e2 07                         ; and edx, 7
          83 c2 02                         ; add edx, 2
          83 f9 01                         ; cmp ecx, 1
          74 ~b                            ; je b
          77 ~c                            ; ja c
        a:
          05 03 00 00 00                   ; add eax, 3
        b:
          be 02 00 00 00                   ; mov esi, 2
          f6 c2 01                         ; test dl, 1
          75 ~d                            ; jnz d
        c:
          35 99 00 00 00                   ; xor eax, 99h
          ff ca                            ; dec edx
          7e ~out                          ; jle out
        d:
          48 d1 c0                         ; rol rax, 1
          ff ce                            ; dec esi
          7f ~c                            ; jg c
          ff ca                            ; dec edx
          7f ~a                            ; jg a
        out:`,
      ),
    });
  });

  test('of one instruction, of one block; LOOP and JRCXZ', () => {
    check({
      text: rounds(
        300,
        256,
        `
          ff c1                            ; inc ecx
          89 cf                            ; mov edi, ecx
        one:
          e2 ~one                          ; loop one
          87 f9                            ; xchg ecx, edi
        two:
          48 01 c8                         ; add rax, rcx
          e3 ~out                          ; jrcxz out
          ff c9                            ; dec ecx
          eb ~two                          ; jmp two
        out:`,
      ),
    });
  });

  test('REP in them', () => {
    check({
      text: rounds(
        300,
        64,
        `
          be 00 00 02 00                   ; mov esi, 20000h
          bf 08 00 02 00                   ; mov edi, 20008h
          89 c2                            ; mov edx, eax
          89 14 25 00 00 02 00             ; mov [20000h], edx
          f3 a4                            ; rep movsb
          48 33 04 25 10 00 02 00          ; xor rax, [20010h]`,
      ),
    });
  });
});

describe('large things', () => {
  const step = (n: number): string =>
    ['48 ff c0', '48 d1 c0', '48 6b c0 0d', '48 01 c8', '48 33 c2', '66 ff c0'][n % 6];

  test('blocks of 31, 32, 33 and 200 instructions', () => {
    for (const length of [31, 32, 33, 200])
      check({ text: rounds(600, 4, indices(length).map(step).join('\n')) }, [undefined, 7, 31]);
  });

  test('more instructions in a page than a region may have', () => {
    const body = indices(140).map(
      (n) => `${step(n)} \n ${step(n + 1)} \n 48 a9 ${dword(1 << (n % 20))} \n 75 ~x${n} \n ${step(n + 3)} \n x${n}:`,
    );
    const runs = check({ text: `${rounds(300, 4, 'e8 >big')} \n @ 11000 \n big: \n ${body.join('\n')} \n c3` }, [
      undefined,
    ]);
    for (const { counts } of runs) assert.ok(counts.instructions > 600, `${counts.instructions} instructions`);
  });

  test('loops that go through several pages, with instructions across the borders', () => {
    const far = (page: number, to: string): string => `
      @ 1${page}ffd
      p${page}:
        48 6b c0 0d                        ; imul rax, rax, 13, one byte in the next page
        48 81 f0 ${dword(page * 0x111)}     ; xor rax, imm
        e9 >${to}`;
    const runs = check({
      text: `${rounds(2000, 4, 'e9 >p1 \n back:')} ${far(1, 'p3')} ${far(3, 'p5')} ${far(5, 'back')}`,
    });
    assert.ok(runs.every(({ counts }) => counts.regions > 0));
  });

  test('a branch whose instruction crosses pages, and one that falls through to the next page', () => {
    check({
      text: `${rounds(2000, 4, 'e9 >last \n back:')}
        @ 11ff0
        last:
          48 01 c8                         ; add rax, rcx
          48 d1 c0                         ; rol rax, 1
          a8 03                            ; test al, 3
          90 90 90 90 90                   ; up to 11ffd
          0f 85 >back                      ; jnz back, across
          05 07 00 00 00                   ; add eax, 7
          e9 >back`,
    });
  });

  test('loads and stores across pages', () => {
    check({
      text: rounds(
        2000,
        16,
        `
          48 01 81 f9 0f 02 00             ; add [rcx + 20ff9h], rax
          48 33 81 f5 1f 02 00             ; xor rax, [rcx + 21ff5h]
          f3 0f 6f 81 f4 0f 02 00          ; movdqu xmm0, [rcx + 20ff4h]
          66 0f ef c8                      ; pxor xmm1, xmm0
          f3 0f 7f 89 f0 1f 02 00          ; movdqu [rcx + 21ff0h], xmm1
          f0 48 0f c1 81 f9 0f 02 00       ; lock xadd [rcx + 20ff9h], rax`,
      ),
    });
  });
});
