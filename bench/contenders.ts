// SPDX-License-Identifier: Apache-2.0
import { fileURLToPath } from 'node:url';
import { startBochs } from './bochs/start.ts';
import type { Started } from './follow.ts';
import { rowsWords } from './image.ts';
import type { Image } from './image.ts';
import { NOTHING, rowsAt } from './rows.ts';
import type { Level, Row } from './rows.ts';

/** Where rows are run: a column of the table. */
export type Column = Level | 'qemu' | 'bochs' | 'bochs-l2' | 'native';

/** A console of a contender's, by what each of its lines begins with, and the rows that are run there. */
export interface Console {
  readonly column: Column;
  readonly prefix: string;
  readonly rows: readonly string[];
}

/** A process that runs rows, at one level or at two. */
export interface Contender {
  readonly name: string;
  /** From the outermost level inwards. */
  readonly consoles: readonly Console[];
  readonly start: (image: Image) => Started | Promise<Started>;
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

/** Who else can be measured, by the words of `--against`: on the bare machine's rows, and Bochs on the way to L2. */
export function otherContenders(names: readonly string[], levels: readonly Level[], rows: readonly Row[]): Contender[] {
  return names.flatMap((name) => {
    const other = OTHERS[name];
    if (other !== undefined) return other(rowsAt(rows, 'bare'), levels);
    throw new Error(`--against ${name}: there is no such contender; there are ${Object.keys(OTHERS).join(', ')}`);
  });
}

const OTHERS: Readonly<Record<string, (rows: readonly string[], levels: readonly Level[]) => Contender[]>> = {
  qemu: (rows) => [qemu(rows)],
  bochs: (rows, levels) => [
    ...(levels.includes('bare') ? [bochs(rows)] : []),
    ...(levels.includes('l2') ? [bochsHypervisor()] : []),
  ],
  native: (rows) => [native(rows)],
};

const withNothing = (rows: readonly string[]): readonly string[] => [NOTHING, ...rows];
const commandLine = (image: Image, rows: readonly string[], then?: string): string =>
  `${image.commandLine} quiet ${rowsWords(withNothing(rows), then)}`;

/** The command line comes last. */
const turtles = (words: readonly string[], memory: string, kernel: string, initrd: string): readonly string[] =>
  // prettier-ignore
  [process.execPath, TURTLES, 'run', ...words, '--batch', '--memory', memory, '--kernel', kernel, '--initrd', initrd, '--append'];

function machine(name: string, column: Level, words: readonly string[], rows: readonly string[]): Contender {
  return {
    name,
    consoles: [{ column, prefix: 'L1: ', rows }],
    start: (image) => ({
      command: [...turtles(['linux', ...words], MEMORY, image.kernel, image.initrd), commandLine(image, rows)],
    }),
  };
}

/** L1 runs its rows, then KVM and QEMU, and L2 its own. */
function hypervisor(rows: readonly string[], innerRows: readonly string[]): Contender {
  return {
    name: rows.length > 0 ? 'turtles, L1 and L2' : 'turtles, L2',
    consoles: [
      { column: 'l1', prefix: 'L1: ', rows },
      { column: 'l2', prefix: 'L2: ', rows: innerRows },
    ],
    start: (image) => ({
      // prettier-ignore
      command: [...turtles(['main'], HYPERVISOR_MEMORY, image.kernel, image.hypervisorInitrd!), commandLine(image, rows, INIT)],
    }),
  };
}

function qemu(rows: readonly string[]): Contender {
  return {
    name: 'qemu-system-x86_64 -accel tcg',
    consoles: [{ column: 'qemu', prefix: '', rows }],
    start: (image) => ({
      // prettier-ignore
      command: ['qemu-system-x86_64', '-machine', 'q35', '-accel', 'tcg', '-m', MEMORY, '-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio', '-kernel', image.kernel, '-initrd', image.initrd, '-append', commandLine(image, rows)],
    }),
  };
}

function native(rows: readonly string[]): Contender {
  return {
    name: 'this computer',
    consoles: [{ column: 'native', prefix: '', rows }],
    start: (image) => ({ command: [image.program, ...withNothing(rows)] }),
  };
}

function bochs(rows: readonly string[]): Contender {
  return {
    name: 'bochs',
    consoles: [{ column: 'bochs', prefix: '', rows }],
    start: (image) => startBochs({ ...image, commandLine: commandLine(image, rows), memory: 256 << 20, serial: 1 }),
  };
}

/** Only as far as L2's userspace. L2's console is L1's second serial port. */
function bochsHypervisor(): Contender {
  return {
    name: 'bochs, L2',
    consoles: [{ column: 'bochs-l2', prefix: '', rows: [] }],
    start: (image) =>
      startBochs({
        kernel: image.kernel,
        initrd: image.hypervisorBootInitrd!,
        commandLine: commandLine(image, [], INIT),
        memory: 1024 << 20,
        serial: 2,
      }),
  };
}
