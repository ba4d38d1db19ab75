// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findDescription } from '../system/descriptions.ts';
import { KVM_PARAMETERS, KvmParameters } from '../system/kvm-parameters.ts';
import type { PcEnd } from '../system/pc.ts';
import { Milestones } from '../system/progress.ts';
import { parseRunArguments } from './run-options.ts';
import { judge } from './run-result.ts';
import type { JudgedRun } from './run-result.ts';

/** A session that ended so. */
const ended = (end: PcEnd | undefined): JudgedRun['session'] => ({
  end,
  endText: () => (end?.kind === 'powerOff' ? 'the machine was powered off' : 'it ended'),
});

/** A batch run of the main job that reached everything; `words` are more options. */
function mainRun(words = '', reached: (index: number) => boolean = () => true): JudgedRun {
  const args = parseRunArguments(['--bare', '--batch', ...words.split(' ').filter((word) => word !== '')], () => {})!;
  const description = findDescription('main');
  const milestones = new Milestones(description);
  description.milestones.forEach(({ console, marker }, index) => reached(index) && milestones.line(console, marker));
  const kvm = new KvmParameters();
  for (const row of KVM_PARAMETERS) kvm.line(0, `kvm_intel.${row.name}=${row[args.cpu]}`);
  return {
    args,
    description,
    milestones,
    kvm,
    how: 'ended',
    found: false,
    wedge: undefined,
    failed: { stopped: false, remark: () => undefined, count: 0, explained: [] },
    session: ended({ kind: 'powerOff' }),
  };
}

describe('how a run is judged', () => {
  it('all milestones, the right parameters and a power-off make it good, on both profiles', () => {
    assert.equal(judge(mainRun()).ok, true);
    assert.equal(judge(mainRun('--cpu paper')).ok, true);
  });

  it('the first milestone that is missing names the level that stopped', () => {
    const { milestones } = findDescription('main');
    milestones.forEach(({ console, means }, missing) => {
      const result = judge(mainRun('', (index) => index < missing));
      assert.equal(result.ok, false);
      assert.equal(result.stoppedLevel, ['L1', 'L2'][console]);
      assert.equal(result.reason, `${result.stoppedLevel} did not ${means}: the machine was powered off`);
    });
  });

  it('a parameter of kvm_intel that is not as the profile has it makes it bad', () => {
    for (const { name, modern } of KVM_PARAMETERS) {
      const run = mainRun();
      run.kvm.line(0, `kvm_intel.${name}=${modern === 'Y' ? 'N' : 'Y'}`);
      const { ok, reason } = judge(run);
      assert.equal(ok, false);
      assert.ok(reason.includes(`${name} is N, not Y`), reason);
    }
    assert.equal(judge({ ...mainRun(), args: mainRun('--cpu paper').args }).ok, false, 'the other profile');
    const { args } = mainRun();
    const shadow = judge({ ...mainRun(), args: { ...args, bare: false, paging: 'shadow-on-ept' } });
    assert.ok(shadow.reason.includes('ept is Y, not N'), 'L1 is shown no EPT: what goes with it must be off');
  });

  it('an own kernel must power off, and nothing else is known of it', () => {
    const own = { ...mainRun('--kernel k', () => false), kvm: new KvmParameters() };
    assert.equal(judge(own).ok, true);
    assert.equal(judge({ ...own, session: ended({ kind: 'reset' }) }).ok, false);
  });

  it('a reset, a shutdown, a timeout and a sleep without end make it bad', () => {
    assert.equal(judge({ ...mainRun(), session: ended({ kind: 'reset' }) }).ok, false);
    assert.equal(
      judge({ ...mainRun(), session: ended({ kind: 'shutdown', processor: 0, abortIndicator: 0 }) }).ok,
      false,
    );
    for (const how of ['timeout', 'idle', 'wedged'] as const)
      assert.equal(judge({ ...mainRun(), how, session: ended(undefined) }).ok, false);
  });
});
