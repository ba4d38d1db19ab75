// SPDX-License-Identifier: Apache-2.0
// How much each row does: about one CPU second under QEMU's TCG on the machine that chose them.
#pragma once
#define INTEGER_BLOCKS 300000
#define INTEGER_SIEVES 400
#define BRANCHY_TIMES 80
#define MEMORY_STEPS 60000000
#define CHASE_STEPS 3000000
#define FLOAT_TIMES 240
#define CALLS_NUMBER 37
#define INDIRECT_TIMES 40000
#define INDIRECT_CALLS 20000000
#define MOVSB_TIMES 12000
#define STOS_TIMES 60000
#define GETPID_TIMES 2000000
#define READ_TIMES 1000000
#define FORK_TIMES 800
#define EXEC_TIMES 400
#define FAULT_TIMES 150
#define PIPE_TIMES 16000
#define SLEEP_TIMES 2000
#define CPUID_TIMES 50000
#define OUT_TIMES 10000
