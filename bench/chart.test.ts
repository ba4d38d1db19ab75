// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chartSvg } from './chart.ts';
import type { ResultLine } from './results.ts';

const ratio = (median: number) => ({ median, least: median, most: median });
const LINES: readonly ResultLine[] = [
  { name: 'boot', cpu: {}, ratios: { 'bare/qemu': ratio(2.5), 'bochs/qemu': ratio(9), 'l1/bare': ratio(1.1) } },
  { name: 'a < b & "c"', cpu: {}, ratios: { 'bare/qemu': ratio(0.125) } },
];

/** Throws unless every element is closed in order, and nothing but elements and text is there. */
function checkWellFormed(xml: string): void {
  const open: string[] = [];
  let at = 0;
  for (const tag of xml.matchAll(/<(\/?)([a-z]+)((?: [a-zA-Z0-9-]+="[^"<&]*")*)(\/?)>|[<>]/g)) {
    const [whole, close, name, , empty] = tag;
    assert.ok(name !== undefined, `${whole} at ${tag.index} is no tag`);
    assert.ok(!/&(?!(amp|lt|gt|quot);)/.test(xml.slice(at, tag.index)), 'a bare ampersand');
    at = tag.index + whole.length;
    if (close) assert.equal(open.pop(), name);
    else if (!empty) open.push(name);
  }
  assert.deepEqual(open, []);
}

describe('the chart', () => {
  it('is well-formed, whatever rows are called', () => {
    checkWellFormed(chartSvg(LINES, 'CPU time <now>'));
    assert.throws(() => checkWellFormed('<svg><g></svg>'));
    assert.throws(() => checkWellFormed('<svg>a < b</svg>'));
    assert.throws(() => checkWellFormed('<svg>&c</svg>'));
  });

  it('has a bar for each ratio, to the left of 1 for less and to the right for more', () => {
    const bars = [...chartSvg(LINES, '').matchAll(/<rect class="(less|more)" x="([\d.]+)" .* width="([\d.]+)"/g)];
    const [boot, other, l1] = bars.map(([, kind, x, width]) => ({
      kind,
      from: Number(x),
      to: Number(x) + Number(width),
    }));
    assert.deepEqual([boot!.kind, other!.kind, l1!.kind], ['more', 'less', 'more']);
    assert.ok(Math.abs(boot!.from - other!.to) < 0.2 && boot!.from === l1!.from);
    assert.ok(boot!.to > l1!.to);
    assert.equal(bars.length, 3);
  });

  it('shows others as points, and no group without rows', () => {
    const svg = chartSvg(LINES, '');
    assert.match(svg, /<circle [^>]*><title>bochs: 9.00<\/title>/);
    assert.ok(svg.includes('L1 under L0') && !svg.includes('L2 / L1'));
  });
});
