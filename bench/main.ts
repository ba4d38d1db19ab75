// SPDX-License-Identifier: Apache-2.0
// `npm run bench -- [NAME] [OPTION...]`
import { bootBench } from './boot.ts';
import { churnBench } from './churn.ts';
import { imageBench } from './image.ts';
import { programsBench } from './programs.ts';

interface Bench {
  readonly name: string;
  readonly usage: string;
  readonly run: (args: readonly string[]) => Promise<void>;
}

// prettier-ignore
const BENCHES: readonly Bench[] = [
  { name: 'programs', usage: 'programs [--against qemu,bochs,native] [--levels bare,l1,l2] [--rows NAME,...] [--rounds N] [--json FILE] [--svg FILE]: the programs of guests/bench (this is what runs without a name)', run: programsBench },
  { name: 'boot', usage: 'boot [--against qemu] [--rounds N]: power-on to userspace, in CPU seconds', run: bootBench },
  { name: 'churn', usage: 'churn [--minutes N] [--json FILE]: fork, execve, exit, wait in L2, and whether the process grows or slows down', run: churnBench },
  { name: 'image', usage: 'image FOLDER: writes what is booted there, and says how', run: imageBench },
];

const [first = '', ...rest] = process.argv.slice(2);
const unnamed = first === '' || first.startsWith('--');
const [name, args] = unnamed ? ['programs', process.argv.slice(2)] : [first, rest];
const bench = BENCHES.find((candidate) => candidate.name === name);
if (bench === undefined) {
  console.error(`usage: npm run bench -- [NAME]\n${BENCHES.map(({ usage }) => `  ${usage}`).join('\n')}`);
  process.exitCode = 2;
} else {
  try {
    await bench.run(args);
  } catch (error) {
    console.error(`bench: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}
