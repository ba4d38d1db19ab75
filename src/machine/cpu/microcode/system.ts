// SPDX-License-Identifier: Apache-2.0
import { BCD_MICROCODE } from './bcd.ts';
import { CONTROL_REGISTER_MICROCODE } from './control-registers.ts';
import { CPUID_MICROCODE } from './cpuid.ts';
import { DEBUG_REGISTER_MICROCODE } from './debug-registers.ts';
import { DESCRIPTOR_TABLE_MICROCODE } from './descriptor-tables.ts';
import { EXTENDED_STATE_MICROCODE } from './extended-state.ts';
import { FXSAVE_MICROCODE } from './fxsave.ts';
import { HALT_MICROCODE } from './halt.ts';
import { INTERRUPT_FLAG_MICROCODE } from './interrupt-flag.ts';
import { IO_MICROCODE } from './io.ts';
import { MACHINE_STATUS_WORD_MICROCODE } from './machine-status-word.ts';
import type { MicrocodeRoutines } from './microcode.ts';
import { MISC_MICROCODE } from './misc.ts';
import { MONITOR_MICROCODE } from './monitor.ts';
import { MSR_MICROCODE } from './msr.ts';
import { RANDOM_MICROCODE } from './random.ts';
import { SEGMENT_BASE_MICROCODE } from './segment-bases.ts';
import { TIME_MICROCODE } from './time.ts';
import { TRANSLATION_CONTROL_MICROCODE } from './translation-control.ts';

/** What an operating system uses of a processor, beside segments, far transfers and interrupts. */
export const SYSTEM_MICROCODE: readonly MicrocodeRoutines[] = [
  BCD_MICROCODE,
  CONTROL_REGISTER_MICROCODE,
  CPUID_MICROCODE,
  DEBUG_REGISTER_MICROCODE,
  DESCRIPTOR_TABLE_MICROCODE,
  EXTENDED_STATE_MICROCODE,
  FXSAVE_MICROCODE,
  HALT_MICROCODE,
  INTERRUPT_FLAG_MICROCODE,
  IO_MICROCODE,
  MACHINE_STATUS_WORD_MICROCODE,
  MISC_MICROCODE,
  MONITOR_MICROCODE,
  MSR_MICROCODE,
  RANDOM_MICROCODE,
  SEGMENT_BASE_MICROCODE,
  TIME_MICROCODE,
  TRANSLATION_CONTROL_MICROCODE,
];
