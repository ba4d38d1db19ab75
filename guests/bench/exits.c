// SPDX-License-Identifier: Apache-2.0
// Instructions that leave a guest.
#include "bench.h"
#include "syscalls.h"

/** Always an exit under VT-x; a hypervisor answers it in its kernel. What CPUID says is no part of the sum. */
u32 row_cpuid(void) {
  u32 times = 0;
  for (; times < CPUID_TIMES; times++) {
    u32 a = 0, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  }
  return times;
}

/** A write to the port of POST codes, which has no device in KVM: a program in user space answers it. */
u32 row_out(void) {
  u32 times = 0;
  if (call3(SYS_IOPL, 3, 0, 0) < 0) fail("iopl");
  for (; times < OUT_TIMES; times++) __asm__ volatile("outb %%al, $0x80" : : "a"(times));
  call3(SYS_IOPL, 0, 0, 0);
  return times;
}
