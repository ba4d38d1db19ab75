// SPDX-License-Identifier: Apache-2.0
// A program without a C library: the same instructions on every machine, and nothing chosen at run time.
#pragma once
#include "sizes.h"
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

/** A row: fixed work, and a sum over its results that is the same on every machine. */
struct row {
  const char *name;
  u32 (*run)(void);
};

u32 row_nothing(void);
// compute.c
u32 row_integer(void);
u32 row_branchy(void);
u32 row_float(void);
u32 row_calls(void);
u32 row_indirect(void);
// memory.c
u32 row_memory(void);
u32 row_chase(void);
u32 row_movsb(void);
u32 row_stos(void);
// system.c
u32 row_getpid(void);
u32 row_read(void);
u32 row_fork(void);
u32 row_exec(void);
u32 row_fault(void);
u32 row_pipe(void);
u32 row_sleep(void);
// exits.c
u32 row_cpuid(void);
u32 row_out(void);

/** argv[0]: what row_exec executes. */
extern char *program;
/** Prints one line, for whoever reads the console, and exits with status 1. */
void fail(const char *what) __attribute__((noreturn));

static inline u32 mix(u32 sum, u32 value) {
  return ((sum << 5 | sum >> 27) ^ value) * 0x9e3779b1u;
}
static inline u32 next_random(u32 *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}
