// SPDX-License-Identifier: Apache-2.0
// The programs of guests/bench on every contender, one after the other in each round.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chartSvg } from './chart.ts';
import { otherContenders, ownContenders } from './contenders.ts';
import type { Contender } from './contenders.ts';
import { makeImage } from './image.ts';
import { memoryText, prices, pricesText } from './prices.ts';
import { resultLines } from './results.ts';
import { checkSums, runContender } from './round.ts';
import type { Round } from './round.ts';
import { chooseRows, LEVELS, NOTHING, rowsAt } from './rows.ts';
import type { Level } from './rows.ts';
import { tableText } from './table.ts';

interface Options {
  readonly contenders: readonly Contender[];
  /** Of L2, when it is run. */
  readonly innerRows: readonly string[] | undefined;
  readonly rounds: number;
  readonly json: string | undefined;
  readonly svg: string | undefined;
}

/** `[--against qemu,native] [--rounds N] [--rows NAME,...] [--levels bare,l1,l2] [--json FILE] [--svg FILE]` */
export async function programsBench(args: readonly string[]): Promise<void> {
  const options = parse(args);
  const folder = mkdtempSync(join(tmpdir(), 'turtles-bench-'));
  try {
    const image = await makeImage(folder, options.innerRows);
    const rounds: Round[] = [];
    for (let number = 1; number <= options.rounds; number++) {
      console.log(`round ${number} of ${options.rounds}`);
      const round: Round = {};
      for (const contender of options.contenders) Object.assign(round, await runContender(contender, image));
      rounds.push(round);
      checkSums(rounds);
    }
    report(rounds, options);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const list = (text: string): string[] => text.split(',').filter((word) => word !== '');

function parse(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      against: { type: 'string', default: '' },
      rounds: { type: 'string', default: '5' },
      rows: { type: 'string', default: 'compute,memory,system,idle,exits' },
      levels: { type: 'string', default: 'bare' },
      json: { type: 'string' },
      svg: { type: 'string' },
    },
  });
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds ${values.rounds}: that is no number of rounds`);
  const rows = chooseRows(list(values.rows));
  const levels = list(values.levels).map(levelOf);
  const contenders = [...ownContenders(levels, rows), ...otherContenders(list(values.against), levels, rows)];
  const innerRows = levels.includes('l2') ? [NOTHING, ...rowsAt(rows, 'l2')] : undefined;
  return { contenders, innerRows, rounds, json: values.json, svg: values.svg };
}

function levelOf(name: string): Level {
  const level = LEVELS.find((candidate) => candidate === name);
  if (level !== undefined) return level;
  throw new Error(`--levels ${name}: there is no such level; there are ${LEVELS.join(', ')}`);
}

function report(rounds: readonly Round[], { json, svg }: Options): void {
  const lines = resultLines(rounds);
  console.log(
    `\nmedians of ${rounds.length} rounds\n${tableText(lines)}\n${pricesText(prices(rounds))}\n${memoryText(rounds)}`,
  );
  if (json !== undefined)
    writeFileSync(
      json,
      `${JSON.stringify({ computer: cpus()[0]?.model, node: process.version, lines, prices: prices(rounds), rounds }, undefined, 2)}\n`,
    );
  if (svg !== undefined)
    writeFileSync(svg, chartSvg(lines, `CPU time, medians of ${rounds.length} rounds: less is better`));
}
