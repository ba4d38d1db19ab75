// SPDX-License-Identifier: Apache-2.0
// bench ROW... [again | then PROGRAM]: runs rows in order and says on standard output when each begins and ends, with its
// sum. As the first process of a machine it powers off afterwards, or begins again, or becomes PROGRAM.
#include "bench.h"
#include "syscalls.h"

static const struct row ROWS[] = {
  {"nothing", row_nothing},
  {"integer", row_integer}, {"branchy", row_branchy}, {"memory", row_memory}, {"float", row_float},
  {"calls", row_calls}, {"indirect", row_indirect}, {"movsb", row_movsb}, {"stos", row_stos}, {"chase", row_chase},
  {"getpid", row_getpid}, {"read", row_read}, {"fork", row_fork}, {"exec", row_exec}, {"fault", row_fault},
  {"pipe", row_pipe}, {"sleep", row_sleep},
  {"cpuid", row_cpuid}, {"out", row_out},
};

char *program;

u32 row_nothing(void) {
  return 0;
}

static u64 length(const char *text) {
  u64 n = 0;
  while (text[n]) n++;
  return n;
}

static int same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

static char *append(char *to, const char *text) {
  while (*text) *to++ = *text++;
  return to;
}

static char *append_hexadecimal(char *to, u32 value) {
  for (int shift = 28; shift >= 0; shift -= 4) *to++ = "0123456789abcdef"[value >> shift & 15];
  return to;
}

/** One write, and on a terminal nothing goes on before the last byte is sent (TCSBRK with an argument is tcdrain). */
static void print(const char *text, u64 bytes) {
  enum { TCSBRK = 0x5409 };
  call3(SYS_WRITE, 1, (long)text, bytes);
  call3(SYS_IOCTL, 1, TCSBRK, 1);
}

static void leave(int status) {
  enum { MAGIC = (int)0xfee1dead, MAGIC2 = 672274793, POWER_OFF = 0x4321fedc };
  if (call3(SYS_GETPID, 0, 0, 0) == 1) call4(SYS_REBOOT, MAGIC, MAGIC2, POWER_OFF, 0);
  call3(SYS_EXIT, status, 0, 0);
  __builtin_unreachable();
}

void fail(const char *what) {
  char line[128];
  char *end = append(append(append(line, "bench! "), what), "\n");
  print(line, end - line);
  leave(1);
  __builtin_unreachable();
}

static void run(const struct row *row) {
  char line[64];
  char *end = append(append(append(line, "bench> "), row->name), "\n");
  print(line, end - line);
  u32 sum = row->run();
  end = append(append(append(line, "bench< "), row->name), " ");
  end = append(append_hexadecimal(end, sum), "\n");
  print(line, end - line);
}

static void run_named(const char *name) {
  for (u64 at = 0; at < sizeof ROWS / sizeof *ROWS; at++) {
    if (same(ROWS[at].name, name)) return run(&ROWS[at]);
  }
  fail(length(name) < 64 ? name : "a row");
}

/** The stack at entry: count, arguments, 0, environment, 0 (System V ABI, AMD64 supplement, 3.4.1). */
__attribute__((used)) void start(long *stack) {
  char **arguments = (char **)(stack + 1);
  char **environment = arguments + stack[0] + 1;
  program = arguments[0];
  if (arguments[1] && same(arguments[1], "exit")) call3(SYS_EXIT, 7, 0, 0);
  for (char **at = arguments + 1; *at; at++) {
    if (same(*at, "again") && at > arguments + 1) at = arguments + 1;
    if (same(*at, "then") && at[1]) {
      call3(SYS_EXECVE, (long)at[1], (long)(at + 1), (long)environment);
      fail("then");
    }
    run_named(*at);
  }
  leave(0);
}

__asm__(".globl _start\n_start:\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call start\n");

/** gcc may call these. */
void *memcpy(void *to, const void *from, u64 bytes) {
  void *result = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
  return result;
}
void *memset(void *to, int value, u64 bytes) {
  void *result = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
  return result;
}
