// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AT, Bench } from './bench.ts';
import { machineState } from './state.ts';

const PAGE_FAULT = 0x100e9;
const TIMER = 0x1010d;

/**
 * Forty rounds of what a wrong count would show in: repeated strings over pages that are absent and over each other, a
 * store into the block it stands in, an access across two pages of which one is absent, device registers in memory and
 * behind ports, and a timer (TSC deadline) that interrupts anywhere; the TSC goes into the sum in RBP.
 */
const PROGRAM = `
  c7 04 25 f0 00 60 00 ff 01 00 00      ; start: mov dword [0x6000f0], 0x1ff
  c7 04 25 20 03 60 00 40 00 04 00      ; mov dword [0x600320], 0x40040
  31 ed                                 ; xor ebp, ebp
  41 bc 28 00 00 00                     ; mov r12d, 40
  b9 e0 06 00 00                        ; round: mov ecx, 0x6e0
  0f 31                                 ; rdtsc
  05 09 03 00 00                        ; add eax, 777
  83 d2 00                              ; adc edx, 0
  0f 30                                 ; wrmsr
  fb                                    ; sti
  be f0 0f 02 00                        ; mov esi, 0x20ff0
  bf f8 0f 03 00                        ; mov edi, 0x30ff8
  b9 2d 01 00 00                        ; mov ecx, 301
  f3 a4                                 ; rep movsb
  43 8d 04 24                           ; lea eax, [r12 + r12]
  88 04 25 4e 00 01 00                  ; mov [patched + 1], al
  90                                    ; nop
  b0 00                                 ; patched: mov al, 0
  48 01 c5                              ; add rbp, rax
  8b 04 25 fc 1f 40 00                  ; mov eax, [0x401ffc]
  48 01 c5                              ; add rbp, rax
  ff 04 25 fe 1f 40 00                  ; inc dword [0x401ffe]
  8b 04 25 20 00 60 00                  ; mov eax, [0x600020]
  48 01 c5                              ; add rbp, rax
  b9 32 00 00 00                        ; mov ecx, 50
  48 6b ed 1f                           ; spin: imul rbp, rbp, 31
  48 01 cd                              ; add rbp, rcx
  ff c9                                 ; dec ecx
  75 f5                                 ; jnz spin
  0f 31                                 ; rdtsc
  48 31 c5                              ; xor rbp, rax
  bf 00 00 40 00                        ; mov edi, 0x400000
  44 89 e0                              ; mov eax, r12d
  b9 00 08 00 00                        ; mov ecx, 2048
  f3 66 ab                              ; rep stosw
  fd                                    ; std
  be fe 0f 40 00                        ; mov esi, 0x400ffe
  bf fe 0f 03 00                        ; mov edi, 0x30ffe
  b9 09 00 00 00                        ; mov ecx, 9
  f3 66 a5                              ; rep movsw
  fc                                    ; cld
  c7 04 25 08 50 00 00 00 00 00 00      ; mov dword [0x5008], 0
  0f 01 3c 25 00 10 40 00               ; invlpg [0x401000]
  66 ba f8 03                           ; mov dx, 0x3f8
  89 e8                                 ; mov eax, ebp
  24 0f                                 ; and al, 15
  04 61                                 ; add al, 'a'
  ee                                    ; out dx, al
  41 f6 c4 03                           ; test r12b, 3
  75 14                                 ; jnz next
  fa                                    ; cli
  b9 e0 06 00 00                        ; mov ecx, 0x6e0
  0f 31                                 ; rdtsc
  05 4d 01 00 00                        ; add eax, 333
  83 d2 00                              ; adc edx, 0
  0f 30                                 ; wrmsr
  fb                                    ; sti
  f4                                    ; hlt
  41 ff cc                              ; next: dec r12d
  0f 85 37 ff ff ff                     ; jnz round
  fa                                    ; cli
  f4                                    ; hlt
  50                                    ; fault: push rax
  0f 20 d0                              ; mov rax, cr2
  48 01 c5                              ; add rbp, rax
  c7 04 25 08 50 00 00 03 20 03 00      ; mov dword [0x5008], 0x32003
  c7 04 25 10 50 00 00 03 30 03 00      ; mov dword [0x5010], 0x33003
  58                                    ; pop rax
  48 83 c4 08                           ; add rsp, 8
  48 cf                                 ; iretq
  50                                    ; timer: push rax
  52                                    ; push rdx
  0f 31                                 ; rdtsc
  48 01 04 25 00 40 03 00               ; add [0x34000], rax
  ff 04 25 08 40 03 00                  ; inc dword [0x34008]
  66 ba f8 03                           ; mov dx, 0x3f8
  b0 2e                                 ; mov al, '.'
  ee                                    ; out dx, al
  c7 04 25 b0 00 60 00 00 00 00 00      ; mov dword [0x6000b0], 0
  5a                                    ; pop rdx
  58                                    ; pop rax
  48 cf                                 ; iretq
`;

const TICKS = 10_000_000;
const ROUNDS = 40;

function bench(): Bench {
  const bench = new Bench({ code: { [AT.code]: PROGRAM }, handlers: { 14: PAGE_FAULT, 0x40: TIMER } });
  bench.map(0, 0x31000);
  for (let i = 0; i < 0x1000; i += 8) bench.poke64(0x20800 + i, BigInt(i) * 0x9e3779b97f4an);
  return bench;
}

function stateAfter(slice: number): object {
  const it = bench();
  assert.equal(it.run(TICKS, slice), 'idle');
  return { ...machineState(it.pc.machine), text: it.text };
}

describe('how a run is sliced cannot be seen', () => {
  test('the program does what it is for', () => {
    const it = bench();
    assert.equal(it.run(TICKS), 'idle');
    assert.equal(it.text.replaceAll('.', '').length, ROUNDS);
    assert.ok(it.peek32(0x34008) >= ROUNDS, 'interrupted in every round');
    assert.equal(it.peek32(0x34008), it.text.length - ROUNDS);
    assert.ok(it.cpu.idleTicks > 0, 'it halted');
    assert.ok(it.unit.decoding.translator.store.counts.pagesDropped >= ROUNDS, 'code was written');
  });

  for (const slice of [1, 7, 1000]) {
    test(`slices of ${slice} and of a million: the same counts, registers, memory and console`, () => {
      assert.deepEqual(stateAfter(slice), stateAfter(1_000_000));
    });
  }

  test('one by one, each slice of one tick retires one instruction, or none while halted', () => {
    const it = bench();
    const { machine } = it.pc;
    let steps = 0;
    let idle = 0;
    while (steps < TICKS && it.pc.run(machine.ticks + 1) === 'limit') {
      if (machine.instructions === steps + 1) steps++;
      else idle++;
      assert.equal(machine.instructions, steps);
      assert.equal(machine.ticks, steps + idle);
    }
    const whole = bench();
    whole.run(TICKS);
    assert.equal(whole.pc.machine.instructions, steps);
    assert.equal(whole.cpu.idleTicks, idle);
  });
});
