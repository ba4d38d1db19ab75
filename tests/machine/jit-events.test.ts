// SPDX-License-Identifier: Apache-2.0
// What interrupts compiled code: faults, traps, interrupts, budgets; and the time that it sees.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { STATE } from '../../src/machine/cpu/state.ts';
import { dword } from './assembler.ts';
import { rounds, sameAsInterpreted } from './jit-runs.ts';
import type { Run } from './jit-runs.ts';

const SLICES = [undefined, 1, 7, 1000];
const LOG = { hash: 0x30000, count: 0x30008, random: 0x30010 } as const;

/** Mixes RIP, RFLAGS and the RAX of what was interrupted into the log; `extra` lies above RIP's place: an error code. */
const log = (extra: 0 | 8): string => `
    50 51                                      ; push rax; push rcx
    48 69 0c 25 ${dword(LOG.hash)} 1f 00 00 00 ; imul rcx, [hash], 31
    48 01 c1                                   ; add rcx, rax
    48 03 4c 24 ${extra === 8 ? '18' : '10'}   ; add rcx, RIP
    48 69 c9 1f 00 00 00                       ; imul rcx, rcx, 31
    48 03 4c 24 ${extra === 8 ? '28' : '20'}   ; add rcx, RFLAGS
    48 89 0c 25 ${dword(LOG.hash)}             ; mov [hash], rcx
    ff 04 25 ${dword(LOG.count)}               ; inc dword [count]
    59 58                                      ; pop rcx; pop rax`;

function logged(runs: readonly Run[], least: number): void {
  for (const run of runs) assert.ok(run.peek32(LOG.count) >= least, `${run.peek32(LOG.count)} events`);
}

/** Mixed work: flags that live over branches, a call, memory. */
const WORK = `
    48 01 c8                                   ; add rax, rcx
    48 11 04 25 00 00 02 00                    ; adc [20000h], rax
    79 ~positive                               ; jns positive
    48 f7 d0                                   ; not rax
  positive:
    e8 >leaf                                   ; call leaf
    48 19 d0                                   ; sbb rax, rdx
    0f 92 c3                                   ; setc bl
    01 d8                                      ; add eax, ebx`;
const LEAF = `
  @ 11000
  leaf:
    48 d1 c0                                   ; rol rax, 1
    48 33 04 25 00 00 02 00                    ; xor rax, [20000h]
    c3`;

describe('page faults', () => {
  const handler = `
    @ 12000
    fault:
      ${log(8)}
      50 51                                    ; push rax; push rcx
      0f 20 d0                                 ; mov rax, cr2
      48 c1 e8 0c                              ; shr rax, 12
      25 ff 01 00 00                           ; and eax, 511
      89 c1                                    ; mov ecx, eax
      c1 e1 0c                                 ; shl ecx, 12
      81 c1 03 00 10 00                        ; add ecx, 100003h
      48 89 0c c5 00 50 00 00                  ; mov [5000h + rax * 8], rcx
      59 58                                    ; pop rcx; pop rax
      48 83 c4 08                              ; add rsp, 8
      48 cf                                    ; iretq`;
  const touching = (access: string): string =>
    `${rounds(1500, 256, `${WORK} \n c1 e1 0c ; shl ecx, 12 \n ${access} \n ${WORK.replaceAll('positive', 'other')}`)} ${LEAF} ${handler}`;

  for (const [what, access] of Object.entries({
    'a store': '48 01 81 10 00 40 00           ; add [rcx + 400010h], rax',
    'a load': '48 03 81 10 00 40 00            ; add rax, [rcx + 400010h]',
    'a store across two pages': '48 89 81 fd 0f 40 00 ; mov [rcx + 400ffdh], rax',
    'REP MOVSB across pages':
      'be 00 00 02 00 8d b9 f8 0f 40 00 b9 10 00 00 00 f3 a4 ; mov esi, 20000h; lea edi, [rcx + 400ff8h]; mov ecx, 16; rep movsb',
    FXSAVE: '0f ae 81 00 0f 40 00            ; fxsave [rcx + 400f00h]',
  })) {
    test(`in the middle of regions, mapped by the handler: ${what}`, () => {
      logged(sameAsInterpreted({ text: touching(access), handlers: { 14: 'fault' } }, SLICES), 200);
    });
  }

  test('of the code itself: a callee that is not there yet, and is taken away again', () => {
    const text = `
      ${rounds(
        1000,
        16,
        `
        c1 e1 0c                               ; shl ecx, 12
        48 8d 91 00 00 40 00                   ; lea rdx, [rcx + 400000h]
        ff d2                                  ; call rdx
        41 f6 c7 07                            ; test r15b, 7
        75 ~stays                              ; jnz stays
        c1 e9 0c                               ; shr ecx, 12
        48 c7 04 cd 00 50 00 00 00 00 00 00    ; mov qword [5000h + rcx * 8], 0
        0f 01 3a                               ; invlpg [rdx]
      stays:`,
      )}
      ${handler}`;
    const prepare = (run: Run): void => {
      for (let i = 0; i < 16; i++)
        run.pc.machine.memory.write(0x100000 + i * 0x1000, Uint8Array.of(5, i, 1, 0, 0, 0xc3));
    };
    logged(sameAsInterpreted({ text, handlers: { 14: 'fault' }, prepare }, SLICES), 100);
  });
});

describe('other faults', () => {
  test('#DE, #UD and #GP inside of regions, skipped by their handlers', () => {
    const text = `
      ${rounds(
        2000,
        16,
        `
        ${WORK}
        81 e1 07 00 00 00                      ; and ecx, 7
        89 c6                                  ; mov esi, eax
        89 d3                                  ; mov ebx, edx
        31 d2                                  ; xor edx, edx
        f7 f1                                  ; div ecx
        01 f0                                  ; add eax, esi
        bd 00 00 02 00                         ; mov ebp, 20000h
        48 be 00 00 00 00 00 00 00 80          ; mov rsi, 8000000000000000h
        83 f9 03                               ; cmp ecx, 3
        48 0f 44 ee                            ; cmove rbp, rsi
        48 03 45 00                            ; add rax, [rbp]
        83 f9 05                               ; cmp ecx, 5
        75 ~defined                            ; jne defined
        0f 0b                                  ; ud2
      defined:`,
      )}
      ${LEAF}
      @ 12000
      two:
        ${log(0)}
        48 83 04 24 02                         ; add qword [rsp], 2
        48 cf
      four:
        ${log(8)}
        48 83 c4 08                            ; add rsp, 8
        48 83 04 24 04                         ; add qword [rsp], 4
        48 cf`;
    // #SS it is with RBP as the base.
    const handlers = { 0: 'two', 6: 'two', 12: 'four', 13: 'four' };
    logged(sameAsInterpreted({ text, handlers }, SLICES), 500);
  });
});

describe('debugging', () => {
  test('single steps switched on and off while regions exist', () => {
    const text = `
      ${rounds(
        600,
        64,
        `
        83 f9 05                               ; cmp ecx, 5
        75 ~same                               ; jne same
        9c 48 81 0c 24 00 01 00 00 9d          ; pushfq; or qword [rsp], 100h; popfq
      same:
        ${WORK}
        f7 c1 38 00 00 00                      ; test ecx, 56
        75 ~on                                 ; jnz on
        83 f9 05                               ; cmp ecx, 5
        74 ~on                                 ; je on
        9c 48 81 24 24 ff fe ff ff 9d          ; pushfq; and qword [rsp], ~100h; popfq
      on:`,
      )}
      ${LEAF}
      @ 12000
      step:
        ${log(0)}
        48 cf`;
    logged(sameAsInterpreted({ text, handlers: { 1: 'step' } }, SLICES), 200);
  });

  test('breakpoints on an instruction and on data, switched on and off while regions exist', () => {
    const text = `
      ${rounds(
        1500,
        64,
        `
        83 f9 05                               ; cmp ecx, 5
        77 ~same                               ; ja same
        31 d2                                  ; xor edx, edx
        be ${dword(0xd00005)}                  ; mov esi, L0: execution; L1: 4 bytes written
        83 f9 02                               ; cmp ecx, 2
        48 0f 46 d6                            ; cmovbe rdx, rsi
        0f 23 fa                               ; mov dr7, rdx
      same:
        ${WORK}
      here:
        ff 04 25 08 00 02 00                   ; inc dword [20008h]`,
      )}
      ${LEAF}
      @ 12000
      trap:
        ${log(0)}
        50                                     ; push rax
        0f 21 f0                               ; mov rax, dr6
        48 01 04 25 18 00 03 00                ; add [30018h], rax
        31 c0                                  ; xor eax, eax
        0f 23 f0                               ; mov dr6, rax
        58                                     ; pop rax
        81 4c 24 10 00 00 01 00                ; or dword [rsp+16], RF
        48 cf`;
    const prepare = (run: Run): void => {
      run.cpu.set64(STATE.dr0, BigInt(run.labels['here']));
      run.cpu.set64(STATE.dr0 + 8, 0x20008n);
    };
    logged(sameAsInterpreted({ text, handlers: { 1: 'trap' }, prepare }, SLICES), 200);
  });
});

describe('interrupts', () => {
  const arm = `
        0f 31                                  ; rdtsc
        69 0c 25 ${dword(LOG.random)} ${dword(1664525)} ; imul ecx, [random], 1664525
        81 c1 ${dword(1013904223)}             ; add ecx, 1013904223
        89 0c 25 ${dword(LOG.random)}          ; mov [random], ecx
        c1 e9 18                               ; shr ecx, 24
        83 c1 1e                               ; add ecx, 30
        01 c8                                  ; add eax, ecx
        83 d2 00                               ; adc edx, 0
        b9 e0 06 00 00                         ; mov ecx, IA32_TSC_DEADLINE
        0f 30                                  ; wrmsr`;
  const timer = (body: string): string => `
      c7 04 25 f0 00 60 00 ff 01 00 00         ; mov dword [6000f0h], 1ffh
      c7 04 25 20 03 60 00 20 00 04 00         ; mov dword [600320h], 40020h: TSC deadline
      ${arm}
      fb                                       ; sti
      ${rounds(3000, 64, body)}
      ${LEAF}
      @ 12000
      tick:
        ${log(0)}
        50 51 52                               ; push rax; push rcx; push rdx
        ${arm}
        c7 04 25 b0 00 60 00 00 00 00 00       ; mov dword [6000b0h], 0
        5a 59 58                               ; pop rdx; pop rcx; pop rax
        48 cf`;

  test('of the timer, by TSC deadline, anywhere in hot code', () => {
    logged(sameAsInterpreted({ text: timer(WORK), handlers: { 0x20: 'tick' } }, SLICES), 200);
  });

  test('while IF goes on and off by CLI, STI and POPF', () => {
    const body = `
        fa                                     ; cli
        ${WORK}
        fb                                     ; sti
        9c                                     ; pushfq
        fa                                     ; cli
        ${WORK.replaceAll('positive', 'other')}
        9d                                     ; popfq
        48 01 d8                               ; add rax, rbx`;
    logged(sameAsInterpreted({ text: timer(body), handlers: { 0x20: 'tick' } }, SLICES), 300);
  });

  test('while the loop waits for each in HLT', () => {
    const body = `${WORK} \n 83 e1 1f ; and ecx, 31 \n 75 ~on ; jnz on \n f4 ; hlt \n on:`;
    logged(sameAsInterpreted({ text: timer(body), handlers: { 0x20: 'tick' } }, SLICES), 200);
  });
});

describe('time in compiled code', () => {
  test('RDTSC: each instruction is one tick, wherever it runs', () => {
    const body = `${WORK} \n 0f 31 ; rdtsc \n 01 c7 ; add edi, eax \n 89 f8 ; mov eax, edi \n 0f 01 f9 ; rdtscp \n 31 c7 ; xor edi, eax`;
    sameAsInterpreted({ text: `${rounds(2000, 64, body)} ${LEAF}` }, SLICES);
  });

  test("reads and writes of the local APIC's page: its counter in the middle of blocks", () => {
    const text = `
      c7 04 25 f0 00 60 00 ff 01 00 00         ; mov dword [6000f0h], 1ffh
      c7 04 25 20 03 60 00 20 00 01 00         ; mov dword [600320h], 10020h: masked, one-shot
      c7 04 25 e0 03 60 00 0b 00 00 00         ; mov dword [6003e0h], 0bh: by 1
      c7 04 25 80 03 60 00 00 00 10 00         ; mov dword [600380h], 100000h
      ${rounds(
        2000,
        64,
        `
        ${WORK}
        03 04 25 90 03 60 00                   ; add eax, [600390h]
        48 6b c0 0d                            ; imul rax, rax, 13
        2b 04 25 90 03 60 00                   ; sub eax, [600390h]
        83 e1 f0                               ; and ecx, ~15
        89 0c 25 80 00 60 00                   ; mov [600080h], ecx: the task priority
        03 04 25 80 00 60 00                   ; add eax, [600080h]`,
      )}
      ${LEAF}`;
    sameAsInterpreted({ text }, SLICES);
  });

  test('ports', () => {
    const body = `${WORK} \n e6 80 ; out 80h, al \n e4 61 ; in al, 61h \n 01 c7 ; add edi, eax \n e4 40 ; in al, 40h: the counter of the 8254 \n 01 f8 ; add eax, edi`;
    sameAsInterpreted({ text: `${rounds(1500, 64, body)} ${LEAF}` }, SLICES);
  });
});
