// SPDX-License-Identifier: Apache-2.0

/** What processor time goes into. */
export interface ProfileRow {
  readonly name: string;
  /** Beginnings of what belongs to it, FILE#FUNCTION: files relative to src/ without suffix, or URLs of emitted modules. */
  readonly places: readonly string[];
  /** Names of the host's own functions, when they are not called by the host's files. */
  readonly hostFunctions?: readonly string[];
}

/** Their rows are no part of the main thread's samples. */
export const OTHER_THREADS = 'compiler and collector threads';
export const REST = 'start-up and the rest';

/** Parts of the JIT and of the translator that are called while what they made runs. */
const WHILE_CODE_RUNS = [
  ...['sampler#', 'heat#', 'jit#engineOf', 'jit#regionMicrocode', 'jit#regionHelper', 'jit#sampled', 'jit#jumped'].map(
    (place) => `machine/cpu/jit/${place}`,
  ),
  ...['find', 'blockAt', 'crossingAt'].map((name) => `machine/cpu/translation/block-store#${name}`),
  ...['crosses', 'get full'].map((name) => `machine/cpu/translation/translator#${name}`),
];

// The longest beginning decides.
// prettier-ignore
export const PROFILE_ROWS: readonly ProfileRow[] = [
  { name: 'decode and translate',     places: ['decode/', 'machine/cpu/translation/', 'machine/cpu/mode#', 'machine/cpu/flat-segments#'] },
  { name: 'emit',                     places: ['machine/cpu/jit/', 'machine/cpu/interpreter/', 'machine/cpu/operations/', 'machine/wasm/'] },
  { name: 'compile, main thread',     places: ['machine/webassembly#'], hostFunctions: ['Module', 'Instance'] },
  { name: OTHER_THREADS,              places: [] },
  { name: 'interpreter',              places: ['wasm://wasm/interpreter-', 'wasm://wasm/operations-'] },
  { name: 'compiled regions',         places: ['wasm://wasm/regions-', 'wasm://wasm/runtime-'] },
  { name: 'microcode',                places: ['machine/cpu/microcode/', 'machine/cpu/softfloat/', 'machine/cpu/sse-float/', 'machine/cpu/x87/', 'arch/'] },
  { name: 'engine and run loop',      places: ['machine/', 'machine/cpu/interpreter/engine#', ...WHILE_CODE_RUNS] },
  { name: 'walks, TLB and memory',    places: ['machine/mmu/', 'machine/memory/', 'wasm://wasm/memory-', 'decode/page-walk#'] },
  { name: 'VT-x',                     places: ['machine/vtx/', 'arch/vmx/'] },
  { name: 'devices',                  places: ['devices/'] },
  { name: 'L0',                       places: ['l0/'] },
  { name: 'garbage collection',       places: [], hostFunctions: ['(garbage collector)'] },
  { name: REST,                       places: [''] },
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
  const fromOurs = file === '' && !caller.startsWith('node:');
  const ofHost = fromOurs && PROFILE_ROWS.find(({ hostFunctions = [] }) => hostFunctions.includes(name));
  return ofHost || rowOfPlace(`${caller.replace(/\.[jt]s$/, '')}#${file === '' ? '' : name}`);
}

function rowOfPlace(place: string): ProfileRow {
  const lengths = PROFILE_ROWS.map(({ places }) => {
    return Math.max(-1, ...places.filter((start) => place.startsWith(start)).map((start) => start.length));
  });
  return PROFILE_ROWS[lengths.indexOf(Math.max(...lengths))]!;
}
