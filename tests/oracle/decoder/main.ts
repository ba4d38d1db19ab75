// SPDX-License-Identifier: Apache-2.0

// npm run test:decoder [-- --count N --seed S]: all of a C library and of Debian's kernel in the three code sizes, and
// N random and N changed instructions. Prints what was compared, how often each known difference came, and what differs.

import { parseArgs } from 'node:util';
import { prepareGuest } from '../../../src/images/prepare.ts';
import { hypervisorGuest } from '../../../src/images/recipes.ts';
import { nodeImageHost } from '../../../src/platform/node/image-host.ts';
import { Comparison } from './compare.ts';
import { libcSections, vmlinuxSections, whyNoLibc } from './images.ts';
import { ByteSource, SIZES } from './sources.ts';
import { mutatedStreams, randomStreams, sweep } from './streams.ts';

const { values } = parseArgs({
  options: { count: { type: 'string', default: '20000000' }, seed: { type: 'string', default: '1' } },
});
const count = Number(values.count);
const seed = Number(values.seed);
if (!(count >= 0) || !(seed > 0)) {
  console.error('turtles: --count and --seed are numbers, and the seed is above 0');
  process.exit(2);
}

const comparison = new Comparison();

function part(name: string, work: () => void): void {
  const [compared, defined, began] = [comparison.compared, comparison.defined, Date.now()];
  work();
  const seconds = ((Date.now() - began) / 1000).toFixed(1);
  console.log(
    `${name}: ${comparison.compared - compared} places, ${comparison.defined - defined} defined, ${seconds} s`,
  );
}

async function kernel(): Promise<Uint8Array[]> {
  const host = nodeImageHost();
  const guest = await prepareGuest(hypervisorGuest(), host);
  return vmlinuxSections(guest.kernel, (payload) => host.codecs.decompress('xz', payload));
}

function everything(name: string, sections: readonly Uint8Array[]): void {
  for (const size of SIZES) part(`${name}, ${size}-bit`, () => sections.forEach((one) => sweep(comparison, one, size)));
  const longest = sections.toSorted((a, b) => b.length - a.length)[0];
  part(`${name}, changed`, () => mutatedStreams(comparison, new ByteSource(seed), longest, count / 2));
}

const noLibc = whyNoLibc();
if (noLibc === undefined) everything('libc', libcSections());
else console.log(`libc: left out, ${noLibc}`);
everything('vmlinux', await kernel());
part('random', () => randomStreams(comparison, new ByteSource(seed), count));

console.log('known differences:');
for (const [why, times] of [...comparison.allowed].sort(([a], [b]) => (a < b ? -1 : 1)))
  console.log(`  ${times} ${why}`);
console.log(`${comparison.differences.size} differences`);
for (const line of comparison.differences.values()) console.log(`  ${line}`);
process.exitCode = comparison.differences.size === 0 ? 0 : 1;
