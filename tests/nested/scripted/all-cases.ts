// SPDX-License-Identifier: Apache-2.0
import type { Case } from './case.ts';
import { DEVICE_CASES } from './cases-devices.ts';
import { EVENT_CASES } from './cases-events.ts';
import { INSTRUCTION_CASES } from './cases-instructions.ts';
import { MEMORY_CASES } from './cases-memory.ts';
import { MODE_CASES } from './cases-modes.ts';
import { BRANCH_STEP_CASES } from './cases-branch-steps.ts';
import { PROCESSOR_CASES } from './cases-processors.ts';
import { SERVED_CASES } from './cases-served.ts';
import { TRAP_CASES } from './cases-traps.ts';

export const ALL_CASES: readonly Case[] = [
  ...INSTRUCTION_CASES,
  ...EVENT_CASES,
  ...MEMORY_CASES,
  ...TRAP_CASES,
  ...BRANCH_STEP_CASES,
  ...PROCESSOR_CASES,
  ...MODE_CASES,
  ...SERVED_CASES,
  ...DEVICE_CASES,
];
