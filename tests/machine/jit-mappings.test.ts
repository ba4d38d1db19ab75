// SPDX-License-Identifier: Apache-2.0
// Regions belong to physical pages; what runs is whatever is mapped where RIP points.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AT } from './bench.ts';
import { sameAsInterpreted } from './jit-runs.ts';
import { SECOND_PROCESSOR } from './second-processor.ts';

const RAX = 0;
const FIRST = 0x31000;
/** In the page table's first entry it exchanges 31000h and 32000h. */
const EXCHANGE = '48 81 34 25 00 50 00 00 00 30 00 00 ; xor qword [5000h], 3000h';
const FORGET: Readonly<Record<string, string>> = {
  INVLPG: '0f 01 3c 25 00 00 40 00 ; invlpg [400000h]',
  'MOV to CR3': '0f 20 d9 0f 22 d9 ; mov rcx, cr3; mov cr3, rcx',
};

describe('a page is mapped elsewhere', () => {
  for (const [how, forget] of Object.entries(FORGET)) {
    test(`under its caller: ${how}`, () => {
      const runs = sameAsInterpreted({
        text: `
            41 bf 00 10 00 00          ; mov r15d, 4096
            bb 00 00 40 00             ; mov ebx, 400000h
          loop:
            ff d3                      ; call rbx
            48 6b c0 0d                ; imul rax, rax, 13
            41 f6 c7 3f                ; test r15b, 63
            75 ~same                   ; jnz same
            ${EXCHANGE}
            ${forget}
          same:
            41 ff cf                   ; dec r15d
            75 ~loop                   ; jnz loop
            f4
          @ 31000
            48 ff c0                   ; inc rax
            c3
          @ 32000
            48 83 c0 05                ; add rax, 5
            48 83 c1 05                ; add rcx, 5
            c3`,
        prepare: (run) => run.map(0, FIRST),
      });
      // Both functions became regions, and stayed: nothing was written to them.
      for (const { counts } of runs) assert.deepEqual([counts.regions >= 3, counts.dropped], [true, 0]);
    });

    test(`under the region that does it: ${how}`, () => {
      // Both pages hold the same code but for the sum at its end.
      const page = (label: string, sum: string): string => `
        ${label}:
          41 f6 c7 3f                  ; test r15b, 63
          75 ~same${sum}               ; jnz same
          ${EXCHANGE}
          ${forget}
        same${sum}:
          48 83 c0 ${sum}              ; add rax, sum
          48 6b c0 0d                  ; imul rax, rax, 13
          41 ff cf                     ; dec r15d
          0f 85 >${label}              ; jnz
          f4`;
      const text = `
            41 bf 00 10 00 00          ; mov r15d, 4096
            b8 00 00 40 00             ; mov eax, 400000h
            ff e0                      ; jmp rax
          @ 31000
          ${page('first', '01')}
          @ 32000
          ${page('second', '05')}`;
      const runs = sameAsInterpreted({ text, prepare: (run) => run.map(0, FIRST) });
      for (const { counts } of runs) assert.ok(counts.regions >= 2 && counts.dropped === 0);
    });

    test(`under a caller in that page, by what it called: ${how}`, () => {
      const page = (sum: string): string => `
          e8 fb ff 00 00               ; call 410000h
          48 83 c0 ${sum}              ; add rax, sum
          48 6b c0 0d                  ; imul rax, rax, 13
          41 ff cf                     ; dec r15d
          75 ee                        ; jnz the first
          f4`;
      const runs = sameAsInterpreted({
        text: `
            41 bf 00 10 00 00          ; mov r15d, 4096
            b8 00 00 40 00             ; mov eax, 400000h
            ff e0                      ; jmp rax
          @ 31000
          ${page('01')}
          @ 32000
          ${page('05')}
          @ 33000
            41 f6 c7 3f                ; test r15b, 63
            75 ~same                   ; jnz same
            ${EXCHANGE}
            ${forget}
          same:
            c3`,
        prepare: (run) => {
          run.map(0, FIRST);
          run.map(16, 0x33000);
        },
      });
      for (const { counts } of runs) assert.ok(counts.regions >= 3 && counts.dropped === 0);
    });
  }

  test('without INVLPG the processor may go on with the old one, and all modes do the same', () => {
    sameAsInterpreted({
      text: `
          41 bf 00 10 00 00            ; mov r15d, 4096
          bb 00 00 40 00               ; mov ebx, 400000h
        loop:
          ff d3                        ; call rbx
          ${EXCHANGE}
          41 ff cf                     ; dec r15d
          75 ~loop                     ; jnz loop
          f4
        @ 31000
          48 ff c0                     ; inc rax
          c3
        @ 32000
          48 83 c0 05                  ; add rax, 5
          c3`,
      prepare: (run) => run.map(0, FIRST),
    });
  });
});

describe('one page of code at two addresses', () => {
  /** Offset 0: a loop that adds data of the next page and calls into the one after it, both relative to RIP. */
  const text = `
      41 bf 00 04 00 00                ; mov r15d, 1024
      bb 00 00 40 00                   ; mov ebx, 400000h
    loop:
      ff d3                            ; call rbx
      48 81 f3 00 40 00 00             ; xor rbx, 4000h: the other address
      41 ff cf                         ; dec r15d
      75 ~loop                         ; jnz loop
      f4
    @ 31000
    inner:
      be 0a 00 00 00                   ; mov esi, 10
    again:
      03 05 >inner+1000                ; add eax, [rip + the next page]
      01 05 >inner+1010                ; add [rip + 16 further], eax
      e8 >inner+2000                   ; call the page after
      ff ce                            ; dec esi
      75 ~again                        ; jnz again
      48 8d 15 >inner                  ; lea rdx, [rip of inner]
      48 01 d0                         ; add rax, rdx
      c3
    @ 34000
      03 00 00 00
    @ 35000
      05 00 00 00
    @ 36000
      48 6b c0 0d                      ; imul rax, rax, 13
      c3
    @ 37000
      48 6b c0 11                      ; imul rax, rax, 17
      c3`;
  const prepare = (run: { map(index: number, physical: number): void }): void => {
    for (const [index, physical] of [[0, FIRST], [1, 0x34000], [2, 0x36000], [4, FIRST], [5, 0x35000], [6, 0x37000]]) run.map(index, physical); // prettier-ignore
  };

  test('both hot, with data and calls relative to RIP', () => {
    for (const { counts } of sameAsInterpreted({ text, prepare }))
      assert.ok(counts.regions >= 4 && counts.dropped === 0);
  });

  test('in slices that end anywhere', () => {
    sameAsInterpreted({ text, prepare }, [1, 7, 1000]);
  });
});

describe('two processors in the same page of code', () => {
  /** RBX is 0 on the first, 1 on the second; the second changes what both execute. */
  const text = `
      ${SECOND_PROCESSOR.wake}
    @ 10400
    work:
      41 bf 00 10 00 00                ; mov r15d, 4096
      31 c0                            ; xor eax, eax
    loop:
    patched:
      05 01 00 00 00                   ; add eax, 1
      48 69 c0 0d 00 00 00             ; imul rax, rax, 13
      e8 >leaf                         ; call leaf
      85 db                            ; test ebx, ebx
      74 ~skip                         ; jz skip
      41 f6 c7 3f                      ; test r15b, 63
      75 ~skip                         ; jnz skip
      f0 ff 04 25 =patched+1           ; lock inc dword [patched+1]
      ff 04 25 =leaf+1                 ; inc dword [leaf+1]
    skip:
      41 ff cf                         ; dec r15d
      0f 85 >loop                      ; jnz loop
      48 89 04 dd 00 40 03 00          ; mov [34000h + 8 rbx], rax
      fa                               ; cli
      f4                               ; hlt
    @ 11000
    leaf:
      05 02 00 00 00                   ; add eax, 2
      c3
    ${SECOND_PROCESSOR.trampoline}`;

  test('one patches what both run', () => {
    const runs = sameAsInterpreted({ text, processors: 2 }, [undefined, 1000, 777]);
    for (const run of runs) {
      assert.ok(run.counts.dropped >= 16, `${run.counts.dropped} regions were dropped`);
      const [first, second] = run.pc.machine.processors;
      assert.notEqual(first.cpu.reg64(RAX), second.cpu.reg64(RAX));
      assert.ok(run.peek32(AT.code + 0x409) > 32);
    }
  });
});
