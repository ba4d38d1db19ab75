// SPDX-License-Identifier: Apache-2.0
// Indirect jumps: an interpreter of byte code with a table of labels, and calls through pointers.
#include "bench.h"

enum { ADD, SUB, XOR, SHIFT, LOAD, STORE, SKIP, NEXT, END, OPERATIONS = END };

static u32 interpret(const u8 *code, u32 times) {
  static const void *const TABLE[] = {&&add, &&sub, &&xor, &&shift, &&load, &&store, &&skip, &&next, &&end};
  u32 accumulator = 1, other = 0x1234567, cells[16] = {0};
  const u8 *at = code;
#define DISPATCH goto *TABLE[*at++]
  DISPATCH;
add: accumulator += other; DISPATCH;
sub: accumulator -= other >> 3; DISPATCH;
xor: other ^= accumulator; DISPATCH;
shift: accumulator = accumulator << 7 | accumulator >> 25; DISPATCH;
load: other += cells[accumulator & 15]; DISPATCH;
store: cells[other & 15] = accumulator; DISPATCH;
skip: at += accumulator & 1; DISPATCH;
next: accumulator++; DISPATCH;
end:
  if (--times == 0) return accumulator ^ other;
  at = code;
  DISPATCH;
}

static u32 twice(u32 x) { return x * 2; }
static u32 negated(u32 x) { return ~x; }
static u32 halved(u32 x) { return x >> 1 | x << 31; }
static u32 stepped(u32 x) { return x + 0x9e3779b9u; }

static u32 call_pointers(u32 times) {
  static u32 (*volatile const FUNCTIONS[])(u32) = {twice, negated, halved, stepped};
  u32 value = 1;
  for (u32 i = 0; i < times; i++) value = FUNCTIONS[(value >> 3 ^ i) & 3](value);
  return value;
}

u32 row_indirect(void) {
  enum { LENGTH = 1000 };
  static u8 code[LENGTH + 2];
  u32 random = 3;
  for (int i = 0; i < LENGTH; i++) code[i] = next_random(&random) % OPERATIONS;
  code[LENGTH] = code[LENGTH + 1] = END;
  return mix(interpret(code, INDIRECT_TIMES), call_pointers(INDIRECT_CALLS));
}
