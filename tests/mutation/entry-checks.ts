// SPDX-License-Identifier: Apache-2.0
// Table: mutants of the VM-entry checks: a rule that never or always fails, the wrong kind of failure, a field that is
// read and not declared, a group with another condition; and those of the predicates' own text.

import { ENTRY_CHECK_GROUPS } from '../../src/arch/vmx/entry-checks.ts';
import type { CheckedAgain, EntryCheck, EntryCheckGroup } from '../../src/arch/vmx/entry-check-row.ts';
import { tableMutant } from './mutant.ts';
import type { Mutant, TableChange } from './mutant.ts';
import { sourceMutants } from './source-mutators.ts';

const FILE = 'src/arch/vmx/entry-checks.ts';
const PREDICATES = ['controls', 'host', 'guest-registers', 'guest-segments', 'guest-state'];

function ofRow(check: EntryCheck): TableChange[] {
  const { id, reads, failure } = check;
  const change = (what: string, code: string): TableChange => ({
    id: `${id} :: ${what}`,
    code: `const row = table.flatMap((group) => group.checks).find((row) => row.id === '${id}');\n${code}`,
  });
  const other =
    failure.kind === 'VMfailValid'
      ? { ...failure, error: failure.error === 7 ? 8 : 7 }
      : failure.kind === 'exit'
        ? { ...failure, qualification: failure.qualification === 0 ? 2 : 0 }
        : { kind: 'VMfailValid', error: 7 };
  return [
    change('never fails', 'row.holds = () => true;'),
    change('always fails', 'row.holds = () => false;'),
    change('fails when it is kept', 'const { holds } = row; row.holds = (view, context) => !holds(view, context);'),
    change('fails otherwise', `row.failure = ${JSON.stringify(other)};`),
    ...[...new Set(reads)].map((field) =>
      change(`reads ${field} undeclared`, `row.reads = row.reads.filter((name) => name !== '${field}');`),
    ),
  ];
}

const LESS_OFTEN: { readonly [Again in CheckedAgain]: readonly CheckedAgain[] } = {
  each: ['saved', 'written'],
  saved: ['written'],
  written: [],
};

function ofGroup({ name, when, again, stage }: EntryCheckGroup): TableChange[] {
  const change = (what: string, code: string): TableChange => ({
    id: `group ${name} (${stage}) :: ${what}`,
    code: `const group = table.find((each) => each.name === '${name}' && each.stage === '${stage}');\n${code}`,
  });
  const conditions =
    when === undefined
      ? []
      : [
          change('applies always', 'group.when.holds = () => true;'),
          change('applies never', 'group.when.holds = () => false;'),
          ...when.reads.map((field) =>
            change(
              `reads ${field} undeclared`,
              `group.when.reads = group.when.reads.filter((each) => each !== '${field}');`,
            ),
          ),
          ...(when.bits === undefined ? [] : [change('looks at no bits', 'group.when.bits = 0;')]),
        ];
  return [
    ...conditions,
    ...LESS_OFTEN[again].map((less) => change(`again ${again} → ${less}`, `group.again = '${less}';`)),
  ];
}

export function entryCheckMutants(): Mutant[] {
  const changes = ENTRY_CHECK_GROUPS.flatMap((group) => [...ofGroup(group), ...group.checks.flatMap(ofRow)]);
  return [
    ...changes.map((change) => tableMutant(FILE, 'ENTRY_CHECK_GROUPS', change)),
    ...PREDICATES.flatMap((name) => sourceMutants(`src/arch/vmx/checks-${name}.ts`)),
    ...sourceMutants('src/arch/vmx/entry-check-row.ts', 'const FAILURES'),
  ];
}
