// SPDX-License-Identifier: Apache-2.0
import { CPUID_MICROCODE } from './cpuid.ts';
import { FAR_TRANSFER_MICROCODE } from './far-transfer.ts';
import { HALT_MICROCODE } from './halt.ts';
import { INTERRUPT_FLAG_MICROCODE } from './interrupt-flag.ts';
import { IRET_MICROCODE } from './iret.ts';
import { MASKED_MOVE_MICROCODE } from './masked-move.ts';
import { MONITOR_MICROCODE } from './monitor.ts';
import { MSR_MICROCODE } from './msr.ts';
import { RANDOM_MICROCODE } from './random.ts';
import { RETURN_FAR_MICROCODE } from './return-far.ts';
import { STRING_COMPARE_MICROCODE } from './string-compare.ts';
import { STRING_MICROCODE } from './strings.ts';
import { TIME_MICROCODE } from './time.ts';
import type { MicrocodeRoutines } from './microcode.ts';

/** Every routine there is. No two sets name the same instruction: a test holds them to it. */
// prettier-ignore
export const MICROCODE: readonly MicrocodeRoutines[] = [
  CPUID_MICROCODE,
  FAR_TRANSFER_MICROCODE,
  HALT_MICROCODE,
  INTERRUPT_FLAG_MICROCODE,
  IRET_MICROCODE,
  MASKED_MOVE_MICROCODE,
  MONITOR_MICROCODE,
  MSR_MICROCODE,
  RANDOM_MICROCODE,
  RETURN_FAR_MICROCODE,
  STRING_COMPARE_MICROCODE,
  STRING_MICROCODE,
  TIME_MICROCODE,
];
