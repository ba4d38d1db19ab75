// SPDX-License-Identifier: Apache-2.0
// Table: mutants of the exit routes: an exit goes to the other hypervisor, a control is forgotten or another, a condition
// is always or never true; and those of the conditions' own text.

import { CONTROLS } from '../../src/arch/vmx/controls.ts';
import type { ControlKey } from '../../src/arch/vmx/controls.ts';
import { EXIT_ROUTES } from '../../src/l0/nested/exit-routes.ts';
import type { ExitRoute } from '../../src/l0/nested/exit-routes.ts';
import { tableMutant } from './mutant.ts';
import type { Mutant, TableChange } from './mutant.ts';
import { sourceMutants } from './source-mutators.ts';

const FILE = 'src/l0/nested/exit-routes.ts';

/** The controls beside one in its group. */
function neighbours(key: ControlKey): ControlKey[] {
  const keys = CONTROLS.map(({ group, name }) => `${group}.${name}` as ControlKey).filter(
    (each) => each.split('.')[0] === key.split('.')[0],
  );
  const at = keys.indexOf(key);
  return [keys[at - 1], keys[at + 1]].filter((each) => each !== undefined);
}

function changes({ reason, route }: ExitRoute): TableChange[] {
  const instead = (what: string, code: string): TableChange => ({
    id: `${reason} :: ${what}`,
    code: `table.find((row) => row.reason === '${reason}').route = ${code};`,
  });
  const fixed = (['L0', 'L1'] as const)
    .filter((to) => to !== route.to)
    .map((to) => instead(`${route.to} → ${to}`, `{ to: '${to}' }`));
  if (route.to === 'L1 if') {
    const { name } = route.condition;
    return [...fixed, instead(`not ${name}`, `{ to: 'L1 if', condition: (exit) => !${name}(exit) }`)];
  }
  if (route.to !== 'L1 if set') return fixed;
  const { controls } = route;
  const withControls = (what: string, keys: readonly ControlKey[]): TableChange =>
    instead(what, `{ to: 'L1 if set', controls: ${JSON.stringify(keys)} }`);
  return [
    ...fixed,
    ...(controls.length > 1
      ? controls.map((key) =>
          withControls(
            `without ${key}`,
            controls.filter((each) => each !== key),
          ),
        )
      : []),
    ...controls.flatMap((key, i) =>
      neighbours(key).map((other) => withControls(`${key} → ${other}`, controls.with(i, other))),
    ),
  ];
}

export function routeMutants(): Mutant[] {
  return [
    ...EXIT_ROUTES.flatMap(changes).map((change) => tableMutant(FILE, 'EXIT_ROUTES', change)),
    ...sourceMutants(FILE, 'const FIELD: {'),
    ...sourceMutants('src/l0/nested/exit-conditions.ts'),
  ];
}
