// SPDX-License-Identifier: Apache-2.0
// Table: mutants of the field origins: a value comes from the other VMCS or is nothing, is written too seldom, is saved
// or is not; and those of the text that merges controls bit by bit.

import { FIELD_ORIGINS } from '../../src/l0/nested/field-origins.ts';
import type { FieldOrigin, WrittenWhen } from '../../src/l0/nested/field-origins.ts';
import { tableMutant } from './mutant.ts';
import type { Mutant, TableChange } from './mutant.ts';
import { sourceMutants } from './source-mutators.ts';

const FILE = 'src/l0/nested/field-origins.ts';

/** Less often than is right. */
const SELDOMER: { readonly [When in WrittenWhen]: readonly WrittenWhen[] } = {
  each: ['controls', 'changed', 'once'],
  controls: ['once'],
  changed: ['once'],
  once: [],
  never: [],
};

function changes(origin: FieldOrigin): TableChange[] {
  const { field, kind, written, compose, saved } = origin;
  const change = (what: string, code: string): TableChange => ({
    id: `${field} :: ${what}`,
    code: `const row = table.find((row) => row.field === '${field}');\n${code}`,
  });
  const composed = (what: string, body: string): TableChange => change(what, `row.compose = (c, out) => { ${body} };`);
  const offset = `OFFSET.${field}`;
  const values = [
    ...(kind === 'from12' ? [] : [composed("vmcs12's", `c.copy12(${offset}, out);`)]),
    ...(kind === 'from01' ? [] : [composed("vmcs01's", `c.copy01(${offset}, out);`)]),
    ...(kind === 'l0Owns' ? [] : [composed('0', 'out.low = out.high = 0;')]),
    composed(
      'the and of both',
      `c.or(${offset}, out); const { low, high } = out; c.copy12(${offset}, out); out.low = (out.low & c.v01.low(${offset})) >>> 0; out.high = (out.high & c.v01.high(${offset})) >>> 0;`,
    ),
  ];
  return [
    change(`kind ${kind} → another`, `row.kind = '${kind === 'from12' ? 'merged' : 'from12'}';`),
    change(saved ? 'not saved' : 'saved', `row.saved = ${!saved};`),
    ...(compose === undefined ? [] : values),
    ...SELDOMER[written].map((when) => change(`written ${written} → ${when}`, `row.written = '${when}';`)),
  ];
}

export function originMutants(): Mutant[] {
  return [
    ...FIELD_ORIGINS.flatMap(changes).map((change) => tableMutant(FILE, 'FIELD_ORIGINS', change)),
    ...sourceMutants(FILE, '// --- control fields, bit by bit'),
  ];
}
