// SPDX-License-Identifier: Apache-2.0
// What guests/bench/main.c says on the console.

export type Marker =
  | { readonly kind: 'loaded' }
  | { readonly kind: 'begin'; readonly row: string }
  | { readonly kind: 'end'; readonly row: string; readonly sum: string }
  | { readonly kind: 'failure'; readonly what: string };

/** Of bochs/loader.S: what others get by `-kernel` is in memory. */
const LOADED = /bench@ loaded\r*$/;
const BEGIN = /bench> (\w+)\r*$/;
const END = /bench< (\w+) ([0-9a-f]{8})\r*$/;
const FAILURE = /bench! (.*?)\r*$/;

/** Undefined for a line that is none. A level's name, or what the firmware left on the line, may stand before it. */
export function parseMarker(line: string): Marker | undefined {
  if (LOADED.test(line)) return { kind: 'loaded' };
  const begin = BEGIN.exec(line);
  if (begin !== null) return { kind: 'begin', row: begin[1]! };
  const end = END.exec(line);
  if (end !== null) return { kind: 'end', row: end[1]!, sum: end[2]! };
  const failure = FAILURE.exec(line);
  return failure === null ? undefined : { kind: 'failure', what: failure[1]! };
}
