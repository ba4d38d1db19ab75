// SPDX-License-Identifier: Apache-2.0
// Work that waits for memory, and moves of strings.
#include "bench.h"
#include "syscalls.h"

#define MEBIBYTE (1024 * 1024)
enum { LINE = 64 };
static u8 space[32 * MEBIBYTE] __attribute__((aligned(4096)));

/** A walk over all lines of `bytes` of memory, one cycle in random order (Sattolo's shuffle), `steps` long. */
static u32 chase(u32 bytes, u32 steps) {
  u32 lines = bytes / LINE, random = 4, at = 0, sum = 0;
#define NEXT(line) (*(u32 *)(space + (u64)(line) * LINE))
  for (u32 i = 0; i < lines; i++) NEXT(i) = i;
  for (u32 i = lines - 1; i > 0; i--) {
    u32 j = next_random(&random) % i, swapped = NEXT(i);
    NEXT(i) = NEXT(j), NEXT(j) = swapped;
  }
  for (u32 i = 0; i < steps; i++) at = NEXT(at), sum += at;
  return mix(sum, at);
}

u32 row_memory(void) {
  return chase(MEBIBYTE, MEMORY_STEPS);
}

/** In small pages, however the kernel is set; and given back, so that no later row copies their tables. */
u32 row_chase(void) {
  enum { NO_HUGE_PAGES = 15, DO_NOT_NEED = 4 };
  call3(SYS_MADVISE, (long)space, sizeof space, NO_HUGE_PAGES);
  u32 sum = chase(sizeof space, CHASE_STEPS);
  call3(SYS_MADVISE, (long)space, sizeof space, DO_NOT_NEED);
  return sum;
}

static u32 sum_of(const u8 *bytes, u32 count) {
  u32 sum = 0;
  for (u32 i = 0; i < count; i += 61) sum = mix(sum, bytes[i]);
  return sum;
}

enum { PIECE = 64 * 1024 };

/** REP MOVSB between pieces of 64 KiB. */
u32 row_movsb(void) {
  u32 random = 5;
  for (u32 i = 0; i < 4 * PIECE; i++) space[i] = next_random(&random);
  for (u32 time = 0; time < MOVSB_TIMES; time++) {
    const u8 *from = space + time % 4 * PIECE;
    u8 *to = space + (time + 1) % 4 * PIECE + time % 3;
    u64 count = PIECE - 3;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
  }
  return sum_of(space, 4 * PIECE);
}

/** REP STOSQ over pieces of 64 KiB, as Linux clears pages. */
u32 row_stos(void) {
  for (u32 time = 0; time < STOS_TIMES; time++) {
    u8 *to = space + time % 4 * PIECE;
    u64 count = PIECE / 8;
    __asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(time * 0x0101010101ul) : "memory");
  }
  return sum_of(space, 4 * PIECE);
}
