// SPDX-License-Identifier: Apache-2.0
// A virtual machine monitor with a mistake: its guest's CS is of type 0. KVM takes that, and the VM entry fails.
// Without a library, as guests/bench.

#include <linux/kvm.h>

enum { SYS_write = 1, SYS_open = 2, SYS_mmap = 9, SYS_ioctl = 16, SYS_exit = 60 };

static long call6(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall" : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static long control(long file, unsigned long request, void *argument)
{
    return call6(SYS_ioctl, file, (long)request, (long)argument, 0, 0, 0);
}

static void *map(long file, unsigned long bytes)
{
    const long read_write = 3, shared = 1, anonymous = 0x20;
    return (void *)call6(SYS_mmap, 0, (long)bytes, read_write, file < 0 ? shared | anonymous : shared, file, 0);
}

static void say(const char *text, unsigned long value)
{
    char line[128];
    unsigned long length = 0;
    while (text[length] != 0) {
        line[length] = text[length];
        length++;
    }
    for (int shift = 60; shift >= 0; shift -= 4)
        line[length++] = "0123456789abcdef"[(value >> shift) & 15];
    line[length++] = '\n';
    call6(SYS_write, 1, (long)line, (long)length, 0, 0, 0);
}

__attribute__((force_align_arg_pointer)) void _start(void)
{
    const long read_write = 2;
    long kvm = call6(SYS_open, (long)"/dev/kvm", read_write, 0, 0, 0, 0);
    long machine = control(kvm, KVM_CREATE_VM, 0);
    struct kvm_userspace_memory_region memory = {
        .memory_size = 0x100000,
        .userspace_addr = (unsigned long)map(-1, 0x100000),
    };
    control(machine, KVM_SET_TSS_ADDR, (void *)0xfffbd000);
    control(machine, KVM_SET_USER_MEMORY_REGION, &memory);
    long vcpu = control(machine, KVM_CREATE_VCPU, 0);
    struct kvm_run *run = map(vcpu, (unsigned long)control(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
    struct kvm_sregs registers;
    control(vcpu, KVM_GET_SREGS, &registers);
    registers.cs.type = 0;
    control(vcpu, KVM_SET_SREGS, &registers);
    long result = control(vcpu, KVM_RUN, 0);
    say("turtles: KVM_RUN gave ", (unsigned long)result);
    say("turtles: exit ", run->exit_reason);
    say("turtles: hardware entry failure reason ", run->fail_entry.hardware_entry_failure_reason);
    call6(SYS_exit, 0, 0, 0, 0, 0, 0);
    __builtin_unreachable();
}
