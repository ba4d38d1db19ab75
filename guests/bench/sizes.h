// SPDX-License-Identifier: Apache-2.0
// How much each row does: about one CPU second under QEMU's TCG on the machine that chose them.
#pragma once
#define INTEGER_BLOCKS 200000
#define INTEGER_SIEVES 300
#define BRANCHY_TIMES 20
#define MEMORY_STEPS 20000000
#define CHASE_STEPS 4000000
#define FLOAT_TIMES 200
#define CALLS_NUMBER 33
#define INDIRECT_TIMES 20000
#define INDIRECT_CALLS 10000000
#define MOVSB_TIMES 1000
#define STOS_TIMES 10000
#define GETPID_TIMES 1000000
#define READ_TIMES 500000
#define FORK_TIMES 1500
#define EXEC_TIMES 700
#define FAULT_TIMES 60
#define PIPE_TIMES 20000
#define SLEEP_TIMES 1000
#define CPUID_TIMES 10000
#define OUT_TIMES 1000
