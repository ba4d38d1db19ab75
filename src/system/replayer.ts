// SPDX-License-Identifier: Apache-2.0
import { slicesOf } from '../replay/journal.ts';
import type { Journal, JournalSlice } from '../replay/journal.ts';
import type { Session } from './session.ts';

export interface ReplayOptions {
  /** Instructions since power-on, those before resets included, at which to stop. */
  readonly to: number | undefined;
  /** After each slice, with how many instructions there were: shows what was said, and lets signals be handled. */
  readonly after: (instructions: number) => Promise<void>;
}

/** `reached`: the instruction to stop at; `over`: the end of the journal. */
export type ReplayEnd = 'reached' | 'over';

/** Runs a session that was just made through a journal. What the recorded run threw is thrown again. */
export async function replay(session: Session, journal: Journal, { to, after }: ReplayOptions): Promise<ReplayEnd> {
  for (const slice of slicesOf(journal)) {
    bringIn(session, slice);
    const reached = advance(session, slice.ticks, to);
    await after(session.instructions);
    if (reached) return 'reached';
  }
  return 'over';
}

function bringIn(session: Session, { inputs, reset }: JournalSlice): void {
  if (reset) session.reboot();
  for (const { console, bytes } of inputs) session.description.consoles[console]?.type(bytes);
  session.poll();
}

/** One slice. A tick is an instruction or idle: as many ticks as instructions are missing never go too far. */
function advance(session: Session, ticks: number, to: number | undefined): boolean {
  const end = session.ticks + ticks;
  for (;;) {
    const missing = to === undefined ? Infinity : to - session.instructions;
    if (missing <= 0) return true;
    const outcome = session.run(Math.min(end, session.ticks + missing));
    if (outcome !== 'limit' || session.ticks >= end) return to !== undefined && session.instructions >= to;
  }
}
