// SPDX-License-Identifier: Apache-2.0
// What the kernel does for programs.
#include "bench.h"
#include "syscalls.h"

static long checked(long result, const char *what) {
  if (result < 0) fail(what);
  return result;
}

u32 row_getpid(void) {
  u32 same = 0;
  long self = call3(SYS_GETPID, 0, 0, 0);
  for (int i = 0; i < GETPID_TIMES; i++) same += call3(SYS_GETPID, 0, 0, 0) == self;
  return same;
}

u32 row_read(void) {
  long file = checked(call3(SYS_OPEN, (long)"/dev/zero", 0, 0), "open /dev/zero");
  u32 sum = 0;
  u8 byte = 1;
  for (int i = 0; i < READ_TIMES; i++) sum += call3(SYS_READ, file, (long)&byte, 1) + byte;
  call3(SYS_CLOSE, file, 0, 0);
  return sum;
}

/** A child that does `child` and ends with a status; the sum of the statuses. */
static u32 children(int times, void (*child)(void)) {
  u32 sum = 0;
  for (int i = 0; i < times; i++) {
    int status = 0;
    long pid = checked(call3(SYS_FORK, 0, 0, 0), "fork");
    if (pid == 0) child();
    if (call4(SYS_WAIT4, pid, (long)&status, 0, 0) == pid) sum += status >> 8;
  }
  return sum;
}

static void child_exits(void) {
  call3(SYS_EXIT, 5, 0, 0);
}

/** This program again, which then ends with status 7 at once. */
static void child_executes(void) {
  char *arguments[] = {program, "exit", 0}, *environment[] = {0};
  call3(SYS_EXECVE, (long)program, (long)arguments, (long)environment);
  call3(SYS_EXIT, 1, 0, 0);
}

u32 row_fork(void) {
  return children(FORK_TIMES, child_exits);
}

u32 row_exec(void) {
  return children(EXEC_TIMES, child_executes);
}

/** Small pages of new memory, each touched once, and given back. */
u32 row_fault(void) {
  enum { BYTES = 2 * 1024 * 1024, PAGE = 4096, READ_WRITE = 3, PRIVATE_ANONYMOUS = 0x22, NO_HUGE_PAGES = 15 };
  u32 sum = 0;
  for (int time = 0; time < FAULT_TIMES; time++) {
    long number = SYS_MMAP, result;
    register long flags __asm__("r10") = PRIVATE_ANONYMOUS, file __asm__("r8") = -1, offset __asm__("r9") = 0;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(0), "S"(BYTES), "d"(READ_WRITE), "r"(flags), "r"(file),
                     "r"(offset) : "rcx", "r11", "memory");
    volatile u8 *pages = (volatile u8 *)checked(result, "mmap");
    call3(SYS_MADVISE, result, BYTES, NO_HUGE_PAGES);
    for (int at = 0; at < BYTES; at += PAGE) pages[at] += 1, sum += pages[at];
    checked(call3(SYS_MUNMAP, result, BYTES, 0), "munmap");
  }
  return sum;
}

/** Two processes, one byte, two pipes. */
u32 row_pipe(void) {
  int there[2], back[2];
  u32 sum = 0;
  u8 byte = 0;
  checked(call3(SYS_PIPE, (long)there, 0, 0), "pipe");
  checked(call3(SYS_PIPE, (long)back, 0, 0), "pipe");
  if (checked(call3(SYS_FORK, 0, 0, 0), "fork") == 0) {
    for (int i = 0; i < PIPE_TIMES; i++) {
      call3(SYS_READ, there[0], (long)&byte, 1);
      byte++;
      call3(SYS_WRITE, back[1], (long)&byte, 1);
    }
    call3(SYS_EXIT, 0, 0, 0);
  }
  for (int i = 0; i < PIPE_TIMES; i++) {
    call3(SYS_WRITE, there[1], (long)&byte, 1);
    call3(SYS_READ, back[0], (long)&byte, 1);
    sum = mix(sum, byte);
  }
  call4(SYS_WAIT4, -1, 0, 0, 0);
  for (int i = 0; i < 2; i++) call3(SYS_CLOSE, there[i], 0, 0), call3(SYS_CLOSE, back[i], 0, 0);
  return sum;
}

/** Sleeps of a millisecond: what a machine costs that has nothing to do. */
u32 row_sleep(void) {
  const long millisecond[2] = {0, 1000000};
  u32 slept = 0;
  for (int i = 0; i < SLEEP_TIMES; i++) slept += call3(SYS_NANOSLEEP, (long)millisecond, 0, 0) == 0;
  return slept;
}
