// SPDX-License-Identifier: Apache-2.0
import type { ResultLine } from './results.ts';

export interface Bar {
  readonly label: string;
  /** Above 0. */
  readonly ratio: number;
  /** What is shown as points on the same line. */
  readonly others: readonly { readonly name: string; readonly ratio: number }[];
}

export interface Group {
  readonly heading: string;
  readonly bars: readonly Bar[];
}

// prettier-ignore
const GROUPS: readonly { readonly heading: string; readonly pair: string; readonly others: readonly string[] }[] = [
  { heading: "the bare machine / QEMU's TCG (circles: Bochs; points: this computer itself)", pair: 'bare/qemu', others: ['bochs/qemu', 'native/qemu'] },
  { heading: 'L1 under L0 / the bare machine', pair: 'l1/bare', others: [] },
  { heading: 'L2 / L1, both under L0',         pair: 'l2/l1',   others: [] },
];

/** What there is to show; no group without bars. */
export function chartGroups(lines: readonly ResultLine[]): Group[] {
  const groups = GROUPS.map(({ heading, pair, others }) => ({
    heading,
    bars: lines.flatMap(({ name, ratios }) => {
      const ratio = ratios[pair]?.median;
      return ratio === undefined ? [] : [{ label: name, ratio, others: pointsOf(ratios, others) }];
    }),
  }));
  return groups.filter(({ bars }) => bars.length > 0);
}

function pointsOf(ratios: ResultLine['ratios'], pairs: readonly string[]): Bar['others'] {
  return pairs.flatMap((pair) => {
    const ratio = ratios[pair]?.median;
    return ratio === undefined ? [] : [{ name: pair.split('/')[0]!, ratio }];
  });
}
