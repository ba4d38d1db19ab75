// SPDX-License-Identifier: Apache-2.0
// An interrupt that waits is delivered at the instruction at which its way opens. While none waits, opening it costs
// nothing (STATE.noEventWaits); so each test is also run with an event source that never says that one waits.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { STATE, TR } from '../../src/machine/cpu/state.ts';
import { dword } from './assembler.ts';
import { AT } from './bench.ts';
import { COMPILED, Run } from './jit-runs.ts';
import type { Program } from './jit-runs.ts';

const TSS = 0x8000;
const RAX = 0;
const ROUNDS = 700;

/** Code that lets interrupts in; `here` is where the one that waits is to interrupt it. */
const WAYS: Readonly<Record<string, string>> = {
  'STI, after one more instruction': 'fb 90 ; sti; nop \n here: \n 90 90',
  'STI twice: the second casts no shadow': 'fb fb ; sti; sti \n here: \n 90 90',
  'STI before a branch': 'fb eb ~here ; sti; jmp here \n 90 \n here: \n 90',
  'STI and HLT': '83 fb 01 75 ~here fb f4 ; cmp ebx, 1; jne here; sti; hlt \n here: \n 90',
  POPF: '68 02 02 00 00 9d ; push 202h; popf \n here: \n 90 90',
  IRETQ: `
      6a 10 68 ${dword(AT.stack)} 68 02 02 00 00 6a 08 68 =here 48 cf ; push ss, rsp, rflags, cs, here; iretq
    here:
      90`,
  'SYSRET, to level 3': `
      48 c7 c1 =here                           ; mov rcx, here
      41 bb 02 02 00 00                        ; mov r11d, 202h
      48 0f 07                                 ; sysretq
    here:
      90
      0f 05                                    ; syscall, to back
    back:`,
};
/** After the interrupt is taken the handler waits for ever, with the interrupted RIP in RAX. */
const text = (way: string): string => `
    c7 04 25 f0 00 60 00 ff 01 00 00           ; mov dword [6000f0h], 1ffh
    41 bf ${dword(ROUNDS)}                     ; mov r15d, ROUNDS
  loop:
    fa                                         ; cli
    31 db                                      ; xor ebx, ebx
    41 83 ff 01                                ; cmp r15d, 1
    75 ~quiet                                  ; jne quiet
    ff c3                                      ; inc ebx
    c7 04 25 00 03 60 00 21 00 04 00           ; mov dword [600300h], 40021h: to itself
    90 90
  quiet:
    ${way}
    41 ff cf                                   ; dec r15d
    0f 85 >loop                                ; jnz loop
    fa f4                                      ; cli; hlt
  @ 12000
  taken:
    48 8b 04 24                                ; mov rax, [rsp]
    f4                                         ; hlt`;

function prepare(run: Run): void {
  const { cpu } = run;
  for (const at of [AT.pml4, AT.pdpt, AT.directory, AT.directory + 8]) run.poke64(at, BigInt(run.peek32(at)) | 4n);
  run.poke64(TSS + 4, BigInt(AT.stack));
  cpu.setSegment(TR, 0x20, TSS, 0x67, 0x8b);
  cpu.set64(STATE.star, 0x0013_0008_00000000n);
  cpu.set64(STATE.lstar, BigInt(run.labels['back'] ?? 0));
  cpu.set64(STATE.fmask, 0x200n);
}

const deaf = (run: Run): void => {
  prepare(run);
  run.unit.events.waits = () => false;
};

describe('an interrupt that waits for IF', () => {
  for (const [name, way] of Object.entries(WAYS))
    test(name, () => {
      const program: Program = { text: text(way), handlers: { 0x21: 'taken' }, prepare };
      const interpreted = new Run(program, 'off');
      for (const mode of ['off', ...COMPILED] as const)
        for (const slice of [3_000_000, 1000, 1]) {
          const run = new Run({ ...program, slice }, mode);
          assert.equal(run.cpu.reg64(RAX), BigInt(run.labels['here']), `${mode}, ${slice}`);
          assert.deepEqual(run.state, interpreted.state);
        }
      // HLT asks by itself.
      if (name !== 'STI and HLT')
        for (const mode of ['off', ...COMPILED] as const)
          assert.equal(new Run({ ...program, prepare: deaf }, mode).cpu.reg64(RAX), 0n, 'nobody says that it waits');
    });
});

describe('an NMI that comes while another is handled', () => {
  /** The handler sends the second one when it runs first; each notes where it interrupted. */
  const program: Program = {
    text: `
        c7 04 25 f0 00 60 00 ff 01 00 00       ; mov dword [6000f0h], 1ffh
        41 bf ${dword(ROUNDS)}                 ; mov r15d, ROUNDS
      loop:
        48 ff c3                               ; inc rbx
        41 83 ff 05                            ; cmp r15d, 5
        75 ~quiet                              ; jne quiet
        c7 04 25 00 03 60 00 00 44 00 00       ; mov dword [600300h], 4400h: an NMI, to itself
        90 90
      quiet:
        41 ff cf                               ; dec r15d
        75 ~loop                               ; jnz loop
        f4
      @ 12000
      nmi:
        48 8b 0c 24                            ; mov rcx, [rsp]
        48 89 0c c5 00 00 03 00                ; mov [30000h + rax * 8], rcx
        48 ff c0                               ; inc rax
        48 83 f8 01                            ; cmp rax, 1
        75 ~last                               ; jne last
        c7 04 25 00 03 60 00 00 44 00 00       ; mov dword [600300h], 4400h
      last:
        90 90
        48 cf                                  ; iretq`,
    handlers: { 2: 'nmi' },
  };

  test('is delivered right after the IRET of the first', () => {
    const interpreted = new Run(program, 'off');
    for (const mode of ['off', ...COMPILED] as const)
      for (const slice of [3_000_000, 1]) {
        const run = new Run({ ...program, slice }, mode);
        assert.equal(run.cpu.reg64(RAX), 2n);
        assert.equal(run.peek32(0x30000), run.peek32(0x30008));
        assert.deepEqual(run.state, interpreted.state);
      }
  });
});
