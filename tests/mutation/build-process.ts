// SPDX-License-Identifier: Apache-2.0
// The process in which builds are loaded and tested, one job after the other.

import { getHeapStatistics } from 'node:v8';
import { pathToFileURL } from 'node:url';
import { canSee, endBuild, startBuild } from './build-hooks.ts';
import type { Job, JobResult } from './builds.ts';
import { runCollected, said, startCollecting } from './collector.ts';

async function runJob({ number, changed, steps, untouched }: Job): Promise<JobResult> {
  const search = startBuild(number, changed);
  const began = performance.now();
  let tests = 0;
  const result = (rest: Partial<JobResult>): JobResult => ({
    ...{ number, tests, milliseconds: performance.now() - began, heap: getHeapStatistics().used_heap_size },
    ...rest,
  });
  try {
    for (const { file, name } of steps) {
      if (untouched === 'skip' && !canSee(search, file)) continue;
      startCollecting();
      try {
        await import(pathToFileURL(file).href + search);
      } catch (error) {
        return result({ failed: { file, name: '(loading)', error: said(error) } });
      }
      const ran = await runCollected(name);
      tests += ran.tests;
      if (ran.failed !== undefined) return result({ failed: { file, ...ran.failed } });
    }
    return result({});
  } finally {
    endBuild(search);
  }
}

process.on('message', (job: Job) => {
  void runJob(job).then((result) => process.send!(result));
});
