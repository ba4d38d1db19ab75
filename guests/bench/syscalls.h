// SPDX-License-Identifier: Apache-2.0
// Linux's system calls on x86-64; numbers from arch/x86/entry/syscalls/syscall_64.tbl.
#pragma once

enum {
  SYS_READ = 0, SYS_WRITE = 1, SYS_OPEN = 2, SYS_CLOSE = 3, SYS_MMAP = 9, SYS_MUNMAP = 11, SYS_IOCTL = 16, SYS_PIPE = 22,
  SYS_MADVISE = 28, SYS_NANOSLEEP = 35, SYS_GETPID = 39, SYS_FORK = 57, SYS_EXECVE = 59, SYS_EXIT = 60, SYS_WAIT4 = 61,
  SYS_REBOOT = 169, SYS_IOPL = 172,
};

/** Negative results are -errno. */
static inline long call4(long number, long a, long b, long c, long d) {
  register long r10 __asm__("r10") = d;
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
}
static inline long call3(long number, long a, long b, long c) {
  return call4(number, a, b, c, 0);
}
