// SPDX-License-Identifier: Apache-2.0
import { chartGroups } from './chart-groups.ts';
import type { Bar, Group } from './chart-groups.ts';
import type { ResultLine } from './results.ts';

const WIDTH = 760;
const LEFT = 260;
const RIGHT = 60;
const LINE = 20;
const HEADING = 44;
const PLOT = WIDTH - LEFT - RIGHT;

/** A panel of its own with dark text, so that it can be read on any background. */
const STYLE = [
  '.panel{fill:#fdfdfd;stroke:#b8bec6}',
  'text{font:12px system-ui,sans-serif;fill:#22272e}',
  '.heading{font-weight:600}',
  '.tick{fill:#5b646f;text-anchor:middle}',
  '.grid{stroke:#dfe3e8}',
  '.one{stroke:#5b646f}',
  '.less{fill:#2f7d4f}',
  '.more{fill:#b4562f}',
  '.label{text-anchor:end}',
].join('');

/** Ratios of CPU time as bars from 1 on a logarithmic axis, as a whole SVG file. */
export function chartSvg(lines: readonly ResultLine[], title: string): string {
  const groups = chartGroups(lines);
  const scale = scaleOf(
    groups.flatMap(({ bars }) => bars.flatMap(({ ratio, others }) => [ratio, ...others.map((other) => other.ratio)])),
  );
  const parts: string[] = [text(16, 26, 'heading', title)];
  let y = 34;
  for (const group of groups) {
    parts.push(...drawGroup(group, y, scale));
    y += HEADING + group.bars.length * LINE + 10;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 6}" width="${WIDTH}" height="${y + 6}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect class="panel" x="0.5" y="0.5" width="${WIDTH - 1}" height="${y + 5}" rx="8"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

interface Scale {
  readonly ticks: readonly number[];
  readonly x: (ratio: number) => number;
}

/** From a power of two to a power of two, with everything and 1 between them. */
function scaleOf(ratios: readonly number[]): Scale {
  const logarithms = [0, ...ratios.map(Math.log2)];
  const [from, to] = [Math.floor(Math.min(...logarithms, -1)), Math.ceil(Math.max(...logarithms, 1))];
  return {
    ticks: Array.from({ length: to - from + 1 }, (_, at) => 2 ** (from + at)),
    x: (ratio) => LEFT + ((Math.log2(ratio) - from) / (to - from)) * PLOT,
  };
}

function drawGroup({ heading, bars }: Group, top: number, scale: Scale): string[] {
  const [first, last] = [top + HEADING - 6, top + HEADING + bars.length * LINE];
  const grid = scale.ticks.flatMap((tick) => {
    const x = scale.x(tick).toFixed(1);
    return [
      `<line class="${tick === 1 ? 'one' : 'grid'}" x1="${x}" y1="${first}" x2="${x}" y2="${last}"/>`,
      text(scale.x(tick), first - 4, 'tick', tick < 1 ? `1/${1 / tick}` : `${tick}`),
    ];
  });
  const drawn = bars.flatMap((bar, at) => drawBar(bar, top + HEADING + at * LINE, scale));
  return [text(16, top + 18, 'heading', heading), ...grid, ...drawn];
}

function drawBar({ label, ratio, others }: Bar, top: number, { x }: Scale): string[] {
  const [from, to] = [Math.min(x(1), x(ratio)), Math.max(x(1), x(ratio))];
  const middle = top + LINE / 2 - 2;
  return [
    text(LEFT - 12, middle + 4, 'label', label),
    `<rect class="${ratio <= 1 ? 'less' : 'more'}" x="${from.toFixed(1)}" y="${top}" width="${Math.max(to - from, 1).toFixed(1)}" height="${LINE - 6}"/>`,
    ...others.map((other) => dot(x(other.ratio), middle - 1, other)),
    text(WIDTH - RIGHT + 8, middle + 4, 'value', ratio.toFixed(2)),
  ];
}

function dot(x: number, y: number, { name, ratio }: Bar['others'][number]): string {
  const says = `<title>${escaped(name)}: ${ratio.toFixed(2)}</title>`;
  return name === 'native'
    ? `<circle cx="${x.toFixed(1)}" cy="${y}" r="4" fill="#22272e">${says}</circle>`
    : `<circle cx="${x.toFixed(1)}" cy="${y}" r="4" fill="#fdfdfd" stroke="#22272e" stroke-width="1.5">${says}</circle>`;
}

function text(x: number, y: number, style: string, what: string): string {
  return `<text class="${style}" x="${x.toFixed(1)}" y="${y}">${escaped(what)}</text>`;
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

export function escaped(what: string): string {
  return what.replace(/[&<>"]/g, (character) => ENTITIES[character]!);
}
