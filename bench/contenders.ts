// SPDX-License-Identifier: Apache-2.0
import { fileURLToPath } from 'node:url';
import { rowsWords } from './image.ts';
import type { Image } from './image.ts';
import { NOTHING, rowsAt } from './rows.ts';
import type { Level, Row } from './rows.ts';

/** Where rows are run: a column of the table. */
export type Column = Level | 'qemu' | 'bochs' | 'native';

/** A console of a contender's, by what each of its lines begins with, and the rows that are run there. */
export interface Console {
  readonly column: Column;
  readonly prefix: string;
  readonly rows: readonly string[];
}

/** A process that runs rows, at one level or at two. */
export interface Contender {
  readonly name: string;
  readonly consoles: readonly Console[];
  readonly command: (image: Image) => readonly string[];
}

const MEMORY = '256M';
/** For QEMU in L1 and what it runs. */
const HYPERVISOR_MEMORY = '1G';
const INIT = '/init';
const TURTLES = fileURLToPath(new URL('../src/cli/turtles.ts', import.meta.url));

/** Our own processes for these levels. L1 and L2 come from one, when both are wanted. */
export function ownContenders(levels: readonly Level[], rows: readonly Row[]): Contender[] {
  const [bare, l1, l2] = (['bare', 'l1', 'l2'] as const).map((level) => levels.includes(level));
  return [
    ...(bare ? [machine('turtles, bare', 'bare', ['--bare'], rowsAt(rows, 'bare'))] : []),
    ...(l1 && !l2 ? [machine('turtles, L1', 'l1', [], rowsAt(rows, 'l1'))] : []),
    ...(l2 ? [hypervisor(l1 ? rowsAt(rows, 'l1') : [], rowsAt(rows, 'l2'))] : []),
  ];
}

const withNothing = (rows: readonly string[]): readonly string[] => [NOTHING, ...rows];
const turtles = (...words: readonly string[]): readonly string[] => [
  process.execPath,
  TURTLES,
  'run',
  ...words,
  '--batch',
];
const quiet = (image: Image): string => `${image.commandLine} quiet`;

function machine(name: string, column: Level, words: readonly string[], rows: readonly string[]): Contender {
  const commandLine = (image: Image) => `${quiet(image)} ${rowsWords(withNothing(rows))}`;
  return {
    name,
    consoles: [{ column, prefix: 'L1: ', rows }],
    // prettier-ignore
    command: (image) => [...turtles('linux', ...words), '--memory', MEMORY, '--kernel', image.kernel, '--initrd', image.initrd, '--append', commandLine(image)],
  };
}

/** L1 runs its rows, then KVM and QEMU, and L2 its own. */
function hypervisor(rows: readonly string[], innerRows: readonly string[]): Contender {
  const commandLine = (image: Image) => `${quiet(image)} ${rowsWords(withNothing(rows), INIT)}`;
  return {
    name: rows.length > 0 ? 'turtles, L1 and L2' : 'turtles, L2',
    consoles: [
      { column: 'l1', prefix: 'L1: ', rows },
      { column: 'l2', prefix: 'L2: ', rows: innerRows },
    ],
    // prettier-ignore
    command: (image) => [...turtles('main'), '--memory', HYPERVISOR_MEMORY, '--kernel', image.kernel, '--initrd', image.hypervisorInitrd!, '--append', commandLine(image)],
  };
}

const OTHERS: Readonly<Record<string, (rows: readonly string[]) => Contender>> = {
  qemu: (rows) => ({
    name: 'qemu-system-x86_64 -accel tcg',
    consoles: [{ column: 'qemu', prefix: '', rows }],
    // prettier-ignore
    command: (image) => ['qemu-system-x86_64', '-machine', 'q35', '-accel', 'tcg', '-m', MEMORY, '-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio', '-kernel', image.kernel, '-initrd', image.initrd, '-append', `${quiet(image)} ${rowsWords(withNothing(rows))}`],
  }),
  native: (rows) => ({
    name: 'this computer',
    consoles: [{ column: 'native', prefix: '', rows }],
    command: (image) => [image.program, ...withNothing(rows)],
  }),
};

/** Who else can be measured, by the word of `--against`. They run what the bare machine runs. */
export function otherContenders(names: readonly string[], rows: readonly Row[]): Contender[] {
  return names.map((name) => {
    const other = OTHERS[name];
    if (other !== undefined) return other(rowsAt(rows, 'bare'));
    throw new Error(`--against ${name}: there is no such contender; there are ${Object.keys(OTHERS).join(', ')}`);
  });
}
