// SPDX-License-Identifier: Apache-2.0

// npm run test:walks [-- --cases N --seed S]: the walkers on all combinations, and N cases each on whole machines,
// interpreted and compiled, of guests under EPT,
// and of L2 under the EPT02 that L0 makes. Prints what differs.

import { parseArgs } from 'node:util';
import { CASES, Random, caseAt, flippedBits } from './cases.ts';
import { ComposedComparison } from './composed.ts';
import { rightsOfEachPage } from './ept-cases.ts';
import { NestedComparison } from './nested.ts';
import { TableMemory } from './chain.ts';
import { ProcessorComparison } from './processor.ts';
import { WalkerComparison } from './walkers.ts';

const { values } = parseArgs({
  options: { cases: { type: 'string', default: '200000' }, seed: { type: 'string', default: '1' } },
});
const cases = Number(values.cases);
const seed = Number(values.seed);
if (!(cases >= 0) || !(seed > 0)) {
  console.error('turtles: --cases and --seed are numbers, and the seed is above 0');
  process.exit(2);
}

// prettier-ignore
const PROCESSORS = [['modern-1', false], ['modern-1', true], ['paper-1', false]] as const;

let differences = 0;

interface Comparison {
  readonly cases: number;
  readonly faults: number;
  readonly differences: readonly string[];
}

function part(name: string, work: (random: Random) => Comparison): void {
  const began = Date.now();
  const done = work(new Random(seed));
  const seconds = ((Date.now() - began) / 1000).toFixed(1);
  console.log(`${name}: ${done.cases} cases, ${done.faults} do not translate, ${seconds} s`);
  for (const line of done.differences) console.log(`  ${line}`);
  differences += done.differences.length;
}

part('walkers', (random) => {
  const comparison = new WalkerComparison(new TableMemory(), random);
  for (const one of flippedBits(random)) comparison.compare(one);
  for (let index = 0; index < CASES; index++) comparison.compare(caseAt(index, random));
  return comparison;
});
for (const jit of ['off', 'eager'] as const) {
  part(`processor, compiled code ${jit}`, (random) => {
    const comparison = new ProcessorComparison(random, jit);
    for (let n = 0; n < cases; n++) comparison.compare(caseAt(random.below(CASES), random));
    return comparison;
  });
}
for (const [profile, flags] of PROCESSORS) {
  part(`EPT, ${profile}${flags ? ' with accessed and dirty flags' : ''}`, (random) => {
    const comparison = new NestedComparison(random, profile);
    for (const one of rightsOfEachPage(random, flags)) comparison.compare(one);
    for (let n = 0; n < cases; n++) comparison.compare(comparison.any(flags));
    return comparison;
  });
}
for (const [profile, flags] of PROCESSORS) {
  part(`EPT12 and EPT02, ${profile}${flags ? ' with accessed and dirty flags' : ''}`, (random) => {
    const comparison = new ComposedComparison(random, profile);
    for (const one of rightsOfEachPage(random, flags)) comparison.compare(one);
    for (let n = 0; n < cases; n++) comparison.compare(comparison.any(flags));
    return comparison;
  });
}
console.log(`${differences} differences`);
process.exitCode = differences === 0 ? 0 : 1;
