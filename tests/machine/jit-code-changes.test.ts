// SPDX-License-Identifier: Apache-2.0
// Code that changes while regions of it exist, or run, or wait on the stack for what they called.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AT } from './bench.ts';
import { sameAsInterpreted } from './jit-runs.ts';
import type { Run } from './jit-runs.ts';

const RAX = 0;
/** Regions were dropped that often, in each mode. */
function dropped(runs: readonly Run[], least: number): void {
  for (const { counts } of runs) assert.ok(counts.dropped >= least, `${counts.dropped} regions were dropped`);
}
function notDropped(runs: readonly Run[]): void {
  for (const { counts } of runs) assert.equal(counts.dropped, 0);
}

/** 4096 rounds; each adds the patched immediate to RAX and multiplies by 13. `body` is what patches, in between. */
const loop = (body: string): string => `
  41 bf 00 10 00 00            ; mov r15d, 4096
loop:
patched:
  05 01 00 00 00               ; add eax, 1
  48 69 c0 0d 00 00 00         ; imul rax, rax, 13
${body}
  41 ff cf                     ; dec r15d
  0f 85 >loop                  ; jnz loop
  f4                           ; hlt
`;

describe('a loop that patches itself', () => {
  for (const mask of [7, 63, 511]) {
    test(`each ${mask + 1} rounds, an instruction it has passed`, () => {
      const runs = sameAsInterpreted({
        text: loop(`
          41 f7 c7 ${(mask & 255).toString(16).padStart(2, '0')} 0${mask >> 8} 00 00    ; test r15d, mask
          75 ~skip                     ; jnz skip
          ff 04 25 =patched+1          ; inc dword [patched+1]
        skip:`),
      });
      dropped(runs, 4);
      assert.equal(runs[0].peek32(runs[0].labels['patched'] + 1), 1 + 4096 / (mask + 1));
    });
  }

  test('the very next instruction', () => {
    const runs = sameAsInterpreted({
      text: loop(`
          45 85 ff                     ; test r15d, r15d
          41 f6 c7 1f                  ; test r15b, 31
          75 ~next                     ; jnz next
          ff 04 25 =next+1             ; inc dword [next+1]
        next:
          05 02 00 00 00               ; add eax, 2`),
    });
    dropped(runs, 4);
  });

  test('the next instruction of the same block', () => {
    const runs = sameAsInterpreted({
      text: loop(`
          b9 00 00 02 00               ; mov ecx, 20000h
          ba =next+1                   ; mov edx, next+1
          41 f6 c7 7f                  ; test r15b, 127
          48 0f 44 ca                  ; cmovz rcx, rdx
          44 88 39                     ; mov [rcx], r15b
        next:
          05 02 00 00 00               ; add eax, 2
          b9 08 00 02 00               ; mov ecx, 20008h
          ba =last+1                   ; mov edx, last+1
          41 f6 c7 3f                  ; test r15b, 63
          48 0f 44 ca                  ; cmovz rcx, rdx
          f0 ff 01                     ; lock inc dword [rcx]
        last:
          35 02 00 00 00               ; xor eax, 2`),
    });
    dropped(runs, 8);
  });

  test('by 16 bytes of SSE, and by PUSH with RSP in the code', () => {
    const runs = sameAsInterpreted({
      text: loop(`
          41 f6 c7 1f                  ; test r15b, 31
          0f 85 >next                  ; jnz next
          f3 0f 6f 04 25 =next         ; movdqu xmm0, [next]
          66 41 0f 6e cf               ; movd xmm1, r15d
          66 0f 73 f9 01               ; pslldq xmm1, 1
          66 0f ef c1                  ; pxor xmm0, xmm1
          f3 0f 7f 04 25 =next         ; movdqu [next], xmm0
          48 89 e5                     ; mov rbp, rsp
          48 bc :pushed                ; mov rsp, pushed
          41 57                        ; push r15
          48 89 ec                     ; mov rsp, rbp
        next:
          05 02 00 00 00               ; add eax, 2
          90 90 90 90 90 90 90 90 90 90 90
          48 b9 00 00 00 00 00 00 00 00 ; mov rcx, what was pushed
        pushed:
          48 01 c8                     ; add rax, rcx`),
    });
    dropped(runs, 4);
  });
});

describe('data on the page of the code that writes it', () => {
  test('in the granule of the code: regions are dropped', () => {
    const runs = sameAsInterpreted({
      text: loop(`
          41 f6 c7 0f                  ; test r15b, 15
          75 ~over                     ; jnz over
          01 04 25 =data               ; add [data], eax
          eb ~over                     ; jmp over
        data:
          00 00 00 00
        over:`),
    });
    dropped(runs, 4);
  });

  test('in another granule: they are not', () => {
    const runs = sameAsInterpreted({
      text: `${loop('01 04 25 =data ; add [data], eax \n 48 01 04 25 =data+103c ; across into the next page')}
        @ 10f00
        data:
          00 00 00 00`,
    });
    notDropped(runs);
  });

  test('a store that crosses from data into code', () => {
    const runs = sameAsInterpreted({
      text: `
          41 bf 00 08 00 00            ; mov r15d, 2048
        loop:
          e8 >leaf                     ; call leaf
          41 f6 c7 1f                  ; test r15b, 31
          75 ~over                     ; jnz over
          48 8b 0c 25 =leaf+fffffffc   ; mov rcx, [leaf-4]
          48 c1 c1 10                  ; rol rcx, 16
          48 ff c1                     ; inc rcx
          48 c1 c9 10                  ; ror rcx, 16
          48 89 0c 25 =leaf+fffffffc   ; mov [leaf-4], rcx
        over:
          41 ff cf                     ; dec r15d
          75 ~loop                     ; jnz loop
          f4
        @ 11000
        leaf:
          05 01 00 00 00               ; add eax, 1
          c3`,
    });
    dropped(runs, 1);
  });
});

describe('a function in another page, patched between its calls', () => {
  test('by its caller', () => {
    const runs = sameAsInterpreted({
      text: `${loop(`
          e8 >leaf                     ; call leaf
          41 f6 c7 1f                  ; test r15b, 31
          75 ~skip                     ; jnz skip
          83 04 25 =leaf+1 03          ; add dword [leaf+1], 3
        skip:`)}
        @ 11000
        leaf:
          05 01 00 00 00               ; add eax, 1
          c3                           ; ret`,
    });
    dropped(runs, 8);
  });

  test('so that it does not return where it did', () => {
    // RET becomes NOP, and the other way round: it falls through to a second function.
    const runs = sameAsInterpreted({
      text: `${loop(`
          e8 >leaf                     ; call leaf
          41 f6 c7 1f                  ; test r15b, 31
          75 ~skip                     ; jnz skip
          80 34 25 =last 53            ; xor byte [last], 0c3h ^ 90h
        skip:`)}
        @ 11000
        leaf:
          05 01 00 00 00               ; add eax, 1
        last:
          c3                           ; ret
          05 07 00 00 00               ; add eax, 7
          c3                           ; ret`,
    });
    dropped(runs, 8);
  });
});

/** What a callee does to the immediate at `site` + 1, in its caller's page; `site` lies 160 bytes into an FXSAVE area. */
const PATCHES: Readonly<Record<string, string>> = {
  'a store': '44 89 3c 25 =site+1 ; mov [site+1], r15d',
  'FSTP, which is microcode': `
    db e3                            ; fninit
    44 89 3c 25 =number              ; mov [number], r15d
    db 04 25 =number                 ; fild dword [number]
    d9 1c 25 =site+1                 ; fstp dword [site+1]`,
  FXSAVE: `
    f3 0f 6f 04 25 =site             ; movdqu xmm0, [site]
    f3 0f 7f 04 25 =number           ; movdqu [number], xmm0
    44 89 3c 25 =number+1            ; mov [number+1], r15d
    f3 0f 6f 04 25 =number           ; movdqu xmm0, [number]
    0f ae 04 25 =area                ; fxsave [area]`,
  'REP STOSB': `
    48 89 c2                         ; mov rdx, rax
    44 89 f8                         ; mov eax, r15d
    bf =site+1                       ; mov edi, site+1
    b9 04 00 00 00                   ; mov ecx, 4
    f3 aa                            ; rep stosb
    48 89 d0                         ; mov rax, rdx`,
  'REP MOVSB': `
    44 89 3c 25 =number              ; mov [number], r15d
    be =number                       ; mov esi, number
    bf =site+1                       ; mov edi, site+1
    b9 04 00 00 00                   ; mov ecx, 4
    f3 a4                            ; rep movsb`,
  'MOVSD without REP': `
    44 89 3c 25 =number              ; mov [number], r15d
    be =number                       ; mov esi, number
    bf =site+1                       ; mov edi, site+1
    a5                               ; movsd`,
  CMPXCHG16B: `
    48 89 c5                         ; mov rbp, rax
    48 8b 04 25 =area+a0             ; mov rax, [site]
    48 8b 14 25 =area+a8             ; mov rdx, [site+8]
    48 8d 98 00 7f 00 00             ; lea rbx, [rax+7f00h]
    48 89 d1                         ; mov rcx, rdx
    f0 48 0f c7 0c 25 =site          ; lock cmpxchg16b [site]
    48 89 e8                         ; mov rax, rbp`,
};

describe('a callee that patches its caller, which waits for its return', () => {
  const caller = (leaf: string): string => `
      41 bf 00 08 00 00                ; mov r15d, 2048
      31 c0                            ; xor eax, eax
    loop:
      e8 >leaf                         ; call leaf
      e9 >site                         ; jmp site
    back:
      41 ff cf                         ; dec r15d
      0f 85 >loop                      ; jnz loop
      f4                               ; hlt
    @ 10200
    area:
    @ 102a0
    site:
      05 01 00 00 00                   ; add eax, 1
      e9 >back                         ; jmp back
      90 90 90 90 90 90
    @ 11000
    leaf:
${leaf}
    @ 20000
    number:
      00`;

  for (const [how, patch] of Object.entries(PATCHES)) {
    test(`by ${how}`, () => {
      const runs = sameAsInterpreted({
        text: caller(`
          41 f6 c7 1f                  ; test r15b, 31
          75 ~quiet                    ; jnz quiet
          ${patch}
        quiet:
          48 69 c0 0d 00 00 00         ; imul rax, rax, 13
          c3                           ; ret`),
      });
      dropped(runs, 8);
      assert.notEqual(runs[0].peek32(runs[0].labels['site'] + 1), 1);
    });
  }

  test('two calls deep, both callers at once', () => {
    const runs = sameAsInterpreted({
      text: caller(`
          e8 >inner                    ; call inner
        middle:
          05 01 00 00 00               ; add eax, 1
          c3                           ; ret
        @ 12000
        inner:
          41 f6 c7 1f                  ; test r15b, 31
          75 ~quiet                    ; jnz quiet
          44 89 3c 25 =middle+1        ; mov [middle+1], r15d
          44 89 3c 25 =site+1          ; mov [site+1], r15d
        quiet:
          48 69 c0 0d 00 00 00         ; imul rax, rax, 13
          c3                           ; ret`),
    });
    dropped(runs, 16);
  });

  test('the instruction at the return address itself', () => {
    const runs = sameAsInterpreted({
      text:
        loop(`
          e8 >leaf                     ; call leaf
          05 02 00 00 00               ; add eax, 2
          35 aa 55 00 00               ; xor eax, 55aah`) +
        `
        @ 11000
        leaf:
          41 f6 c7 1f                  ; test r15b, 31
          75 ~quiet                    ; jnz quiet
          48 8b 0c 24                  ; mov rcx, [rsp]
          44 89 79 01                  ; mov [rcx+1], r15d
        quiet:
          c3                           ; ret`,
    });
    dropped(runs, 8);
  });
});

describe('what changes from outside', () => {
  test('DMA into a hot loop between slices', () => {
    const runs = sameAsInterpreted({
      text: loop('41 01 c6 ; add r14d, eax'),
      slice: 333,
      between: ({ pc, labels }, slice) => {
        if (slice % 4 === 3) pc.machine.busMaster(1).write(labels['patched'] + 1, Uint8Array.of(slice, slice >> 8));
      },
    });
    dropped(runs, 8);
    assert.ok(runs[0].cpu.reg32(RAX) !== 0);
  });

  test('DMA beside the code, into another granule of its page', () => {
    const runs = sameAsInterpreted({
      text: loop('03 04 25 00 0f 01 00 ; add eax, [10f00h]'),
      slice: 333,
      between: ({ pc }, slice) => pc.machine.busMaster(1).write(AT.code + 0xf00, Uint8Array.of(slice)),
    });
    notDropped(runs);
  });
});
