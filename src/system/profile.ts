// SPDX-License-Identifier: Apache-2.0
import { OTHER_THREADS, PROFILE_ROWS, profileRow, REST } from './profile-rows.ts';

/** Processor seconds of a process, and by samples where its main thread spent its part. */
export interface ProfileSource {
  /** Of the whole process, before samples were taken. */
  readonly before: number;
  readonly mainThread: number;
  readonly otherThreads: number;
  readonly functions: readonly {
    readonly name: string;
    readonly file: string;
    readonly caller: string;
    readonly microseconds: number;
  }[];
}

/** Processor seconds by what they went into: a member for each row, in their order. */
export type ProfileSplit = ReadonlyMap<string, number>;

/**
 * The sum of all rows is the process's processor time. Samples are of wall clock, and the computer may have had others
 * to serve: their shares count, not their times.
 */
export function splitProfile({ before, mainThread, otherThreads, functions }: ProfileSource): ProfileSplit {
  const split = new Map(PROFILE_ROWS.map(({ name }) => [name, 0]));
  const add = (row: string, seconds: number): void => void split.set(row, split.get(row)! + seconds);
  const sampled = functions.reduce((sum, { microseconds }) => sum + microseconds, 0);
  for (const place of functions) add(profileRow(place).name, (place.microseconds / sampled) * mainThread);
  add(OTHER_THREADS, otherThreads);
  add(REST, sampled > 0 ? before : before + mainThread);
  return split;
}

const BAR = 40;

/** Rows with seconds, share and a bar; the total below. */
export function profileTable(split: ProfileSplit): string {
  const total = [...split.values()].reduce((sum, seconds) => sum + seconds, 0);
  const width = Math.max(...[...split.keys()].map((name) => name.length));
  const line = (name: string, seconds: number, bar: string): string => {
    const share = total === 0 ? 0 : seconds / total;
    return `${name.padEnd(width)} ${seconds.toFixed(2).padStart(9)} ${(100 * share).toFixed(1).padStart(5)} %  ${bar}`.trimEnd();
  };
  const most = Math.max(...split.values());
  const barOf = (seconds: number): string => '█'.repeat(most === 0 ? 0 : Math.round((BAR * seconds) / most));
  return [
    'Processor seconds of this process, from its start to the end of the run:',
    '',
    ...[...split].map(([name, seconds]) => line(name, seconds, barOf(seconds))),
    line('total', total, ''),
    '',
  ].join('\n');
}
