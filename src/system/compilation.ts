// SPDX-License-Identifier: Apache-2.0
import type { Jit, JitMode } from '../machine/cpu/jit/jit.ts';
import { grouped } from './quantities.ts';

/** What of the guests' code is compiled; eager and soon are for tests. */
export const JIT_MODES = ['on', 'off', 'eager', 'soon'] as const satisfies readonly JitMode[];

/** How the guests' code was compiled. No guest can tell, so it is no part of what was run. */
export interface CompilationCounts extends Readonly<Jit['counts']> {
  readonly mode: JitMode;
}

/** The counts in a few lines of text. */
export function compilationText(jit: CompilationCounts): string {
  if (jit.mode === 'off') return "guests' code compiled: none (--jit off)";
  const samples = jit.samples + jit.samplesInRegions;
  const share =
    samples === 0
      ? 'no samples'
      : `${((100 * jit.samplesInRegions) / samples).toFixed(1)} % of ${grouped(samples)} samples in regions`;
  return [
    `guests' code compiled (--jit ${jit.mode}): ${grouped(jit.regions)} regions of ${grouped(jit.instructions)} instructions, ${grouped(jit.dropped)} dropped, ${grouped(jit.recompiled)} compiled again; ${share}`,
    `${grouped(jit.modules)} modules of ${grouped(jit.bytes)} bytes: emitted in ${(jit.emitMs / 1000).toFixed(2)} s, given to V8 in ${(jit.compileMs / 1000).toFixed(2)} s`,
  ].join('\n');
}
