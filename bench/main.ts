// SPDX-License-Identifier: Apache-2.0
// `npm run bench -- NAME [OPTION...]`
import { bootBench } from './boot.ts';

interface Bench {
  readonly name: string;
  readonly usage: string;
  readonly run: (args: readonly string[]) => Promise<void>;
}

const BENCHES: readonly Bench[] = [
  { name: 'boot', usage: 'boot [--against qemu] [--rounds N]: power-on to userspace, in CPU seconds', run: bootBench },
];

const [name, ...args] = process.argv.slice(2);
const bench = BENCHES.find((candidate) => candidate.name === name);
if (bench === undefined) {
  console.error(`usage: npm run bench -- NAME\n${BENCHES.map(({ usage }) => `  ${usage}`).join('\n')}`);
  process.exitCode = 2;
} else {
  try {
    await bench.run(args);
  } catch (error) {
    console.error(`bench: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}
