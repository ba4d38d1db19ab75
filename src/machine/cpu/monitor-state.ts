// SPDX-License-Identifier: Apache-2.0

export const MONITOR_LINE_BYTES = 64;

/** What MONITOR armed and MWAIT waits for. See: SDM 9.10.2 Thread Synchronization: MONITOR and MWAIT. */
export class MonitorState {
  /** Physical address of the line; -1 when nothing is armed. */
  address = -1;
  /** What the line held when it was armed. */
  readonly line = new Uint8Array(MONITOR_LINE_BYTES);
  /** MWAIT has used the armed line: the processor sleeps on it, or has slept. Its activity "HLT" is not the SDM's. */
  waiting = false;
  /** ECX bit 0 of MWAIT: an interrupt ends the sleep even when masked. */
  breakOnMasked = false;
}
