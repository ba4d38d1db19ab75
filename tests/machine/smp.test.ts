// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AT, Bench } from './bench.ts';
import { machineState } from './state.ts';

const TRAMPOLINE_AT = 0x8000;
const INTERRUPT = 0x100cf;
const LOCKED = 0x34000;
const EXCHANGED = 0x34004;
const RACED = 0x34008;
const SECOND_TSC = 0x34018;
const COUNTS = 3000;

/** From real mode to where the first processor began, with EBX = 1. */
const TRAMPOLINE = `
  fa                                    ; cli
  31 c0                                 ; xor ax, ax
  8e d8                                 ; mov ds, ax
  66 0f 01 16 57 80                     ; o32 lgdt [gdtr]
  66 b8 20 00 00 00                     ; mov eax, 0x20
  0f 22 e0                              ; mov cr4, eax
  66 b8 00 10 00 00                     ; mov eax, 0x1000
  0f 22 d8                              ; mov cr3, eax
  66 b9 80 00 00 c0                     ; mov ecx, 0xc0000080
  0f 32                                 ; rdmsr
  66 0d 00 01 00 00                     ; or eax, 0x100
  0f 30                                 ; wrmsr
  66 b8 11 00 00 80                     ; mov eax, 0x80000011
  0f 22 c0                              ; mov cr0, eax
  66 ea 3e 80 00 00 08 00               ; jmp dword 8:wide
  bc 00 90 03 00                        ; wide: mov esp, 0x39000
  0f 01 1c 25 5d 80 00 00               ; lidt [idtr]
  bb 01 00 00 00                        ; mov ebx, 1
  b8 00 00 01 00                        ; mov eax, 0x10000
  ff e0                                 ; jmp rax
  17 00                                 ; gdtr: dw 0x17
  00 60 00 00                           ; dd 0x6000
  ff 0f                                 ; idtr: dw 0xfff
  00 70 00 00 00 00 00 00               ; dq 0x7000
`;

/**
 * The first processor wakes the second by INIT and start-up IPIs; both count, with LOCK and without; then the first
 * interrupts the second, which sleeps, and waits for the answer.
 */
const PROGRAM = `
  c7 04 25 f0 00 60 00 ff 01 00 00      ; start: mov dword [0x6000f0], 0x1ff
  85 db                                 ; test ebx, ebx
  75 49                                 ; jnz work
  c7 04 25 10 03 60 00 00 00 00 01      ; mov dword [0x600310], 0x01000000
  c7 04 25 00 03 60 00 00 45 00 00      ; mov dword [0x600300], 0x4500
  b9 c8 00 00 00                        ; mov ecx, 200
  e2 fe                                 ; delay: loop delay
  c7 04 25 10 03 60 00 00 00 00 01      ; mov dword [0x600310], 0x01000000
  c7 04 25 00 03 60 00 08 46 00 00      ; mov dword [0x600300], 0x4608
  c7 04 25 10 03 60 00 00 00 00 01      ; mov dword [0x600310], 0x01000000
  c7 04 25 00 03 60 00 08 46 00 00      ; mov dword [0x600300], 0x4608
  fb                                    ; work: sti
  b9 b8 0b 00 00                        ; mov ecx, 3000
  f0 ff 04 25 00 40 03 00               ; count: lock inc dword [0x34000]
  b8 01 00 00 00                        ; mov eax, 1
  f0 0f c1 04 25 04 40 03 00            ; lock xadd [0x34004], eax
  01 c5                                 ; add ebp, eax
  8b 04 25 08 40 03 00                  ; mov eax, [0x34008]
  6b c0 11                              ; imul eax, eax, 17
  01 d8                                 ; add eax, ebx
  ff c0                                 ; inc eax
  89 04 25 08 40 03 00                  ; mov [0x34008], eax
  e2 d1                                 ; loop count
  85 db                                 ; test ebx, ebx
  75 30                                 ; jnz second
  83 3c 25 10 40 03 00 00               ; ready: cmp dword [0x34010], 0
  75 04                                 ; jne send
  f3 90                                 ; pause
  eb f2                                 ; jmp ready
  c7 04 25 10 03 60 00 00 00 00 01      ; send: mov dword [0x600310], 0x01000000
  c7 04 25 00 03 60 00 41 40 00 00      ; mov dword [0x600300], 0x4041
  83 3c 25 14 40 03 00 00               ; answer: cmp dword [0x34014], 0
  74 f6                                 ; je answer
  fa                                    ; cli
  f4                                    ; hlt
  c7 04 25 10 40 03 00 01 00 00 00      ; second: mov dword [0x34010], 1
  f4                                    ; sleep: hlt
  eb fd                                 ; jmp sleep
  50                                    ; ipi: push rax
  0f 31                                 ; rdtsc
  89 04 25 18 40 03 00                  ; mov [0x34018], eax
  c7 04 25 14 40 03 00 01 00 00 00      ; mov dword [0x34014], 1
  c7 04 25 b0 00 60 00 00 00 00 00      ; mov dword [0x6000b0], 0
  58                                    ; pop rax
  48 cf                                 ; iretq
`;

function run(slice: number): Bench {
  const bench = new Bench({
    processors: 2,
    code: { [TRAMPOLINE_AT]: TRAMPOLINE, [AT.code]: PROGRAM },
    handlers: { 0x41: INTERRUPT },
  });
  assert.equal(bench.run(5_000_000, slice), 'idle');
  return bench;
}

describe('two processors', () => {
  test('INIT and start-up IPIs begin the second one; LOCK-ed counters lose nothing; an interrupt wakes it', () => {
    const bench = run(1_000_000);
    assert.equal(bench.peek32(LOCKED), 2 * COUNTS);
    assert.equal(bench.peek32(EXCHANGED), 2 * COUNTS);
    assert.notEqual(bench.peek32(SECOND_TSC), 0);
    const [first, second] = bench.pc.machine.processors;
    assert.equal(second.cpu.reg32(3), 1);
    // The sums of what XADD gave them: together 0 + 1 + ... + 5999.
    assert.equal(first.cpu.reg32(5) + second.cpu.reg32(5), (2 * COUNTS * (2 * COUNTS - 1)) / 2);
    assert.ok(second.cpu.instructions > 10 * COUNTS);
  });

  test('they run interleaved: neither finishes before the other has begun', () => {
    const bench = run(1_000_000);
    const [first] = bench.pc.machine.processors;
    assert.notEqual(first.cpu.reg32(5), (COUNTS * (COUNTS - 1)) / 2);
  });

  test('a second run is the same, races included', () => {
    const [one, other] = [run(1_000_000), run(1_000_000)];
    assert.equal(one.peek32(RACED), other.peek32(RACED));
    assert.deepEqual(machineState(one.pc.machine), machineState(other.pc.machine));
  });

  for (const slice of [1, 7, 1000, 12_345]) {
    test(`slices of ${slice} change nothing`, () => {
      assert.deepEqual(machineState(run(slice).pc.machine), machineState(run(1_000_000).pc.machine));
    });
  }
});
