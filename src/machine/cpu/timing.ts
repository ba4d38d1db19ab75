// SPDX-License-Identifier: Apache-2.0
import type { Processor } from './processor.ts';
import { STATE } from './state.ts';

/** Bits of `STATE.timeDirect`: what runs without asking VMX or the exact counter. */
export const TIME_DIRECT = { rdtsc: 1, rdtscp: 2, pause: 4, pauseLoop: 8 } as const;
const COUNTER = TIME_DIRECT.rdtsc | TIME_DIRECT.rdtscp;
const IN_ROOT = COUNTER | TIME_DIRECT.pause;

/** No PAUSE, no STI came before. */
const LONG_AGO = -(2 ** 52);

/** After the counter was written, and at every change between root and non-root operation. */
export function timeChanged(cpu: Processor): void {
  const { words } = cpu;
  const ahead = cpu.environment.tsc.ahead + cpu.guestTscAhead;
  const allowed = words[STATE.nonRoot >> 2] === 0 ? IN_ROOT : cpu.passing;
  const exact = ahead === ahead;
  words[STATE.timeDirect >> 2] = exact ? allowed : allowed & ~COUNTER;
  cpu.setSigned(STATE.tscAhead, exact ? ahead : 0);
}

/** No STI has a shadow that is still to show. */
export function forgetSti(cpu: Processor): void {
  cpu.setSigned(STATE.stiTick, LONG_AGO);
}

/** PAUSE-loop exiting begins to watch, with these limits in ticks. */
export function watchPauseLoops(cpu: Processor, gap: number, window: number): void {
  cpu.words[STATE.pauseGap >> 2] = gap;
  cpu.words[STATE.pauseWindow >> 2] = window;
  cpu.setSigned(STATE.pauseLast, LONG_AGO);
}
