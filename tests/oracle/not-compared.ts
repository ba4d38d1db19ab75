// SPDX-License-Identifier: Apache-2.0
// Table: what of the opcode table no form asks a processor for, and why. coverage.test.ts keeps it exact.

export type NotCompared = {
  /** As `rowName` writes it. */
  readonly row: string;
  /** The variants, as `variantsOf` writes them; all of the row's without it. */
  readonly variants?: readonly string[];
  readonly reason: string;
};

const AMD_OFFSETS = "AMD's processors take no 64-bit offset in a far pointer in memory";
const ITS_OWN = "the answer is the processor's own, or the time of day";
const EMULATED = 'UMIP is set, and Linux does the instruction for the program';
const GATES = 'Linux answers as the operating system; the QEMU lockstep tests go through gates of their own';

/** Rows that 64-bit mode does not have are not listed: `undefined` forms show #UD, the QEMU lockstep tests the rest. */
// prettier-ignore
export const NOT_COMPARED: readonly NotCompared[] = [
  { row: '0F 0D NOP Ev', variants: ['register 16', 'register 32', 'register 64'], reason: "AMD's processors have no register form" },
  { row: '63 MOVSXD Gv Ez', variants: ['memory 16'], reason: "AMD's processors read 32 bits for it" },
  { row: '0F B2 LSS Gv Mp', variants: ['memory 64'], reason: AMD_OFFSETS },
  { row: '0F B4 LFS Gv Mp', variants: ['memory 64'], reason: AMD_OFFSETS },
  { row: '0F B5 LGS Gv Mp', variants: ['memory 64'], reason: AMD_OFFSETS },
  { row: 'FF /3 CALL Mp', variants: ['memory 64'], reason: AMD_OFFSETS },
  { row: 'FF /5 JMP Mp', variants: ['memory 64'], reason: AMD_OFFSETS },
  { row: 'NP 0F 2A CVTPI2PS Vps Qpi', variants: ['memory'], reason: 'one vendor switches to MMX for it and the other does not' },
  { row: 'CD INT Ib', reason: GATES },
  { row: 'F1 INT1', reason: 'the trap that comes of it is the one the oracle waits for; tests/machine/debug.test.ts' },
  { row: '0F 05 SYSCALL', reason: GATES },
  { row: '0F 34 SYSENTER', reason: "AMD's processors do not have it in 64-bit mode" },
  { row: '0F 35 SYSEXIT', reason: "AMD's processors do not have it in 64-bit mode" },
  { row: '0F 31 RDTSC', reason: ITS_OWN },
  { row: '0F 01 F9 RDTSCP', reason: ITS_OWN },
  { row: 'F3 0F C7 /7 RDPID Ry', reason: ITS_OWN },
  { row: '0F A2 CPUID', reason: ITS_OWN },
  { row: 'NFx 0F C7 /6 RDRAND Rv', reason: ITS_OWN },
  { row: 'NFx 0F C7 /7 RDSEED Rv', reason: ITS_OWN },
  { row: 'NP 0F 01 D0 XGETBV', reason: ITS_OWN },
  { row: '0F 00 /0 SLDT Rv/Mw', reason: EMULATED },
  { row: '0F 00 /1 STR Rv/Mw', reason: EMULATED },
  { row: '0F 01 /0 SGDT Ms', reason: EMULATED },
  { row: '0F 01 /1 SIDT Ms', reason: EMULATED },
  { row: '0F 01 /4 SMSW Rv/Mw', reason: EMULATED },
  { row: 'NP 0F 01 C1 VMCALL', reason: 'the hypervisor below, if there is one, takes it for a call' },
];
