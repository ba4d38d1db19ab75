// SPDX-License-Identifier: Apache-2.0
import { BCD_MICROCODE } from './bcd.ts';
import { CONTROL_REGISTER_MICROCODE } from './control-registers.ts';
import { CPUID_MICROCODE } from './cpuid.ts';
import { DEBUG_REGISTER_MICROCODE } from './debug-registers.ts';
import { DECIMAL_MICROCODE } from './decimal.ts';
import { DESCRIPTOR_MICROCODE } from './descriptor-instructions.ts';
import { DESCRIPTOR_TABLE_MICROCODE } from './descriptor-tables.ts';
import { EXTENDED_STATE_MICROCODE } from './extended-state.ts';
import { FAR_TRANSFER_MICROCODE } from './far-transfer.ts';
import { FXSAVE_MICROCODE } from './fxsave.ts';
import { HALT_MICROCODE } from './halt.ts';
import { INTERRUPT_FLAG_MICROCODE } from './interrupt-flag.ts';
import { IO_MICROCODE } from './io.ts';
import { IRET_MICROCODE } from './iret.ts';
import { MACHINE_STATUS_WORD_MICROCODE } from './machine-status-word.ts';
import { MASKED_MOVE_MICROCODE } from './masked-move.ts';
import { MISC_MICROCODE } from './misc.ts';
import { MONITOR_MICROCODE } from './monitor.ts';
import { MSR_MICROCODE } from './msr.ts';
import { NEAR_TRANSFER_MICROCODE } from './near-transfer.ts';
import { RANDOM_MICROCODE } from './random.ts';
import { RETURN_FAR_MICROCODE } from './return-far.ts';
import { SEGMENT_BASE_MICROCODE } from './segment-bases.ts';
import { SEGMENT_REGISTER_MICROCODE } from './segment-registers.ts';
import { SOFTWARE_INTERRUPT_MICROCODE } from './software-interrupts.ts';
import { SSE_FLOAT_MICROCODE } from './sse-float.ts';
import { STACK_MICROCODE } from './stack.ts';
import { STRING_COMPARE_MICROCODE } from './string-compare.ts';
import { STRING_MICROCODE } from './strings.ts';
import { SYSCALL_MICROCODE } from './syscall.ts';
import { TIME_MICROCODE } from './time.ts';
import { TRANSLATION_CONTROL_MICROCODE } from './translation-control.ts';
import { X87_MICROCODE } from './x87.ts';
import type { MicrocodeRoutines } from './microcode.ts';

/** Every routine of a processor without VT-x. No two sets name the same instruction: a test holds them to it. */
// prettier-ignore
export const MICROCODE: readonly MicrocodeRoutines[] = [
  BCD_MICROCODE,
  CONTROL_REGISTER_MICROCODE,
  CPUID_MICROCODE,
  DEBUG_REGISTER_MICROCODE,
  DECIMAL_MICROCODE,
  DESCRIPTOR_MICROCODE,
  DESCRIPTOR_TABLE_MICROCODE,
  EXTENDED_STATE_MICROCODE,
  FAR_TRANSFER_MICROCODE,
  FXSAVE_MICROCODE,
  HALT_MICROCODE,
  INTERRUPT_FLAG_MICROCODE,
  IO_MICROCODE,
  IRET_MICROCODE,
  MACHINE_STATUS_WORD_MICROCODE,
  MASKED_MOVE_MICROCODE,
  MISC_MICROCODE,
  MONITOR_MICROCODE,
  MSR_MICROCODE,
  NEAR_TRANSFER_MICROCODE,
  RANDOM_MICROCODE,
  RETURN_FAR_MICROCODE,
  SEGMENT_BASE_MICROCODE,
  SEGMENT_REGISTER_MICROCODE,
  SOFTWARE_INTERRUPT_MICROCODE,
  SSE_FLOAT_MICROCODE,
  STACK_MICROCODE,
  STRING_COMPARE_MICROCODE,
  STRING_MICROCODE,
  SYSCALL_MICROCODE,
  TIME_MICROCODE,
  TRANSLATION_CONTROL_MICROCODE,
  X87_MICROCODE,
];
