// SPDX-License-Identifier: Apache-2.0
import { PRIMARY, SECONDARY } from '../../arch/vmx/controls.ts';
import { STATE } from '../cpu/state.ts';
import type { VmxUnit } from './vmx-unit.ts';

/**
 * Whether PAUSE exits: always, or at CPL 0 when executions no more than PLE_Gap apart have gone on for more than
 * PLE_Window. Both are in increments of the time-stamp counter. See: SDM 26.1.3 Instructions That Cause VM Exits Conditionally
 */
export function pauseExits(unit: VmxUnit): boolean {
  const { controls, cpu } = unit;
  if (controls.has(PRIMARY.PAUSE_EXITING)) return true;
  if (!controls.has2(SECONDARY.PAUSE_LOOP_EXITING) || cpu.cpl !== 0) return false;
  const now = cpu.ticks;
  if (now - cpu.getSigned(STATE.pauseLast) > controls.pauseLoopGap) cpu.setSigned(STATE.pauseFirst, now);
  cpu.setSigned(STATE.pauseLast, now);
  return now - cpu.getSigned(STATE.pauseFirst) > controls.pauseLoopWindow;
}
