// SPDX-License-Identifier: Apache-2.0

/** What processor time goes into. */
export interface ProfileRow {
  readonly name: string;
  /** Beginnings of what belongs to it: files relative to src/, or URLs of emitted modules. */
  readonly files: readonly string[];
  /** Names of the host's own functions. */
  readonly hostFunctions?: readonly string[];
}

/** Their rows are no part of the main thread's samples. */
export const OTHER_THREADS = 'compiler and collector threads';
export const REST = 'start-up and the rest';

// The longest beginning decides.
// prettier-ignore
export const PROFILE_ROWS: readonly ProfileRow[] = [
  { name: 'decode and translate',     files: ['decode/', 'machine/cpu/translation/', 'machine/cpu/mode.', 'machine/cpu/flat-segments.'] },
  { name: 'emit',                     files: ['machine/cpu/jit/', 'machine/cpu/interpreter/', 'machine/cpu/operations/', 'machine/wasm/'] },
  { name: 'compile, main thread',     files: ['machine/webassembly.'], hostFunctions: ['Module', 'Instance'] },
  { name: OTHER_THREADS,              files: [] },
  { name: 'interpreter',              files: ['wasm://wasm/interpreter-', 'wasm://wasm/operations-'] },
  { name: 'compiled regions',         files: ['wasm://wasm/regions-', 'wasm://wasm/runtime-'] },
  { name: 'microcode',                files: ['machine/cpu/microcode/', 'machine/cpu/softfloat/', 'machine/cpu/sse-float/', 'machine/cpu/x87/'] },
  { name: 'engine and run loop',      files: ['machine/', 'machine/cpu/interpreter/engine.', 'machine/cpu/jit/sampler.', 'machine/cpu/jit/heat.'] },
  { name: 'walks, TLB and memory',    files: ['machine/mmu/', 'machine/memory/', 'wasm://wasm/memory-', 'decode/page-walk.'] },
  { name: 'VT-x',                     files: ['machine/vtx/'] },
  { name: 'devices',                  files: ['devices/'] },
  { name: 'L0',                       files: ['l0/'] },
  { name: 'garbage collection',       files: [], hostFunctions: ['(garbage collector)'] },
  { name: REST,                       files: [''] },
];

interface Place {
  readonly name: string;
  /** '' for the host's own functions. */
  readonly file: string;
  /** The nearest file in the stack, '' when there is none. */
  readonly caller: string;
}

/** The row of a function. Functions of the host that no row names belong to who called them. */
export function profileRow({ name, file, caller }: Place): ProfileRow {
  const ofHost = file === '' && PROFILE_ROWS.find(({ hostFunctions = [] }) => hostFunctions.includes(name));
  return ofHost || rowOfFile(caller);
}

function rowOfFile(file: string): ProfileRow {
  const lengths = PROFILE_ROWS.map(({ files }) => {
    return Math.max(-1, ...files.filter((start) => file.startsWith(start)).map((start) => start.length));
  });
  return PROFILE_ROWS[lengths.indexOf(Math.max(...lengths))]!;
}
