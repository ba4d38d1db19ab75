// SPDX-License-Identifier: Apache-2.0
// A mutant: our sources with one thing broken.

import { stripTypeScriptTypes } from 'node:module';
import { inRoot, sourceText } from './builds.ts';

export interface Mutant {
  /** Unique in its table, and the same while its place is: what was broken, and how. */
  readonly id: string;
  readonly file: string;
  /** The whole source, changed. */
  readonly text: string;
}

export const changeOf = ({ file, text }: Mutant): ReadonlyMap<string, string> => new Map([[inRoot(file), text]]);

/** A change of an exported table, as JavaScript that works on its rows. */
export interface TableChange {
  readonly id: string;
  readonly code: string;
}

/** Rows may be those of a module that other builds share. Groups have rows of their own. */
const COPY = `(row) => ({
  ...row,
  ...(row.when === undefined ? {} : { when: { ...row.when } }),
  ...(row.checks === undefined ? {} : { checks: row.checks.map((check) => ({ ...check })) }),
})`;

/**
 * A mutant of a table that a file exports as `export const NAME...= [` ... `];`: `code` runs on the finished array
 * `table` before anything else sees it. Its rows are plain objects.
 */
export function tableMutant(file: string, name: string, { id, code }: TableChange): Mutant {
  const source = sourceText(file);
  const begin = new RegExp(`^export const ${name}\\b[^=]*= \\[\\n`, 'm').exec(source);
  const end = begin === null ? -1 : source.indexOf('\n];\n', begin.index + begin[0].length - 1);
  if (begin === null || end < 0) throw new Error(`${file}: no table ${name}`);
  const from = begin.index + begin[0].length - 2;
  const text =
    `${source.slice(0, from)}mutated([${source.slice(from + 1, end)}\n]);\n${source.slice(end + 4)}` +
    `\nfunction mutated(rows) {\nconst table = rows.map(${COPY});\n${code}\nreturn table;\n}\n`;
  return { id, file, text };
}

/** What Node makes of a source, or undefined if it is none. */
export function compiled(text: string): string | undefined {
  try {
    return stripTypeScriptTypes(text);
  } catch {
    return undefined;
  }
}
