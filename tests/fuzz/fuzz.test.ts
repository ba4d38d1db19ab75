// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { OFFSET } from '../../src/arch/vmx/fields.ts';
import { readFinding, runAlone, shrunk, writeFinding } from './findings.ts';
import type { Tamper } from './findings.ts';
import { fuzz } from './fuzzer.ts';
import { LAYOUT } from './layout.ts';
import { Pair } from './pair.ts';
import { bareSide } from './machines.ts';
import { readMonitor, sourcesDigest } from './monitor.ts';
import type { Outcome } from './pair.ts';
import { CONFIGURATIONS } from './program.ts';
import { RegionWatch } from './region-watch.ts';
import type { Program, Step } from './program.ts';
import * as steps from './vmx-steps.ts';

const SEED = 1;
const ENTRIES = 1000;
const CARRY = 1;

interface Found {
  readonly program: Program;
  readonly difference: string;
}

/** The first finding of a wrong L0 in its first programs. */
function firstFinding(tamper: Tamper): Found | undefined {
  const all: Found[] = [];
  fuzz({
    ...{ configurations: CONFIGURATIONS.slice(0, 1), seed: SEED, tamper },
    more: ({ programs }) => programs < 60,
    found: (program, difference) => {
      all.push({ program, difference });
      return false;
    },
  });
  return all[0];
}

test('the monitor is assembled from its source', () => {
  assert.equal(readMonitor().digest, sourcesDigest(), 'run `node tests/fuzz/assemble.ts`');
});

test('hostile programs show nothing that the bare machine does not, and go far', () => {
  const findings: string[] = [];
  const { statistics, looks } = fuzz({
    ...{ configurations: CONFIGURATIONS, seed: SEED },
    more: ({ attempted }) => attempted < ENTRIES,
    found: ({ profile, paging, seed }, difference) => findings.push(`${profile} ${paging} ${seed}: ${difference}`) < 5,
  });
  assert.deepEqual(findings, []);
  assert.ok(statistics.shareReached > 0.2, `${statistics.shareReached} of the entries reach L2`);
  assert.ok(statistics.exits.size >= 20, `${statistics.exits.size} kinds of exits`);
  assert.ok(statistics.errors.size >= 6, `${statistics.errors.size} VM-instruction errors`);
  assert.ok(statistics.rules.size >= 25, `${statistics.rules.size} entry rules broken`);
  assert.ok(statistics.undefinedPrograms > 0 && statistics.notDone < statistics.programs / 4);
  assert.ok(looks > 0, "L0's memory and tables are looked at");
});

test('a wrong bit in what L0 saves is found, made smaller, written, and comes again from the file', () => {
  const wrongCarry: Tamper = ({ nested, pc }) => {
    const { vmcs12 } = nested.of(pc.l0.vcpus[0]);
    const saveField = vmcs12.saveField.bind(vmcs12);
    vmcs12.saveField = (offset, low, high) =>
      saveField(offset, offset === OFFSET.GUEST_RFLAGS ? low ^ CARRY : low, high);
  };
  const found = firstFinding(wrongCarry);
  assert.match(found?.difference ?? '', /GUEST_RFLAGS/);
  const finding = shrunk(found?.program as Program, found?.difference as string, wrongCarry, 400);
  assert.ok(finding !== undefined && finding.program.steps.length <= 12, `${finding?.program.steps.length} steps`);
  const folder = mkdtempSync(join(tmpdir(), 'turtles-fuzz-'));
  try {
    const path = join(folder, 'finding.json');
    writeFinding(path, finding);
    assert.deepEqual(readFinding(path), finding);
    assert.match(runAlone(readFinding(path).program, wrongCarry) ?? '', /GUEST_RFLAGS/);
    assert.equal(runAlone(readFinding(path).program), undefined);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('an L0 that gives away a page of its own is found', () => {
  const found = firstFinding(({ pc }) => pc.l0.l1.ept01.mapPage(0xfee0_1000, pc.l0.allocator.allocate()));
  assert.match(found?.difference ?? '', /EPT01 leads to/);
});

test("a guest that changes memory of L0's is found", () => {
  const found = firstFinding(({ pc, unit }) => {
    const page = pc.l0.allocator.allocate();
    const { vmx } = unit;
    assert.ok(vmx?.owner);
    const exited = vmx.owner.exited.bind(vmx.owner);
    vmx.owner.exited = () => {
      pc.l0.memory.write(page, Uint8Array.of(vmx.exits & 0xff));
      exited();
    };
  });
  assert.match(found?.difference ?? '', /changed memory of L0/);
});

test('an L0 that works without bound is found', () => {
  const found = firstFinding(({ pc: { l0 } }) => {
    const enter = l0.l1.nested?.beforeEntry.bind(l0.l1.nested);
    assert.ok(l0.l1.nested && enter);
    l0.l1.nested.beforeEntry = (vcpu) => {
      enter(vcpu);
      for (;;) l0.memory.read32(0);
    };
  });
  assert.match(found?.difference ?? '', /accesses to serve one exit/);
});

const REGRESSIONS = join(import.meta.dirname, 'regressions');
for (const name of readdirSync(REGRESSIONS))
  test(`what was found and mended stays so: ${name}`, () => {
    const { program } = readFinding(join(REGRESSIONS, name));
    const { difference, open } = new Pair(program, 'off').run(program, true);
    assert.equal(difference, undefined);
    assert.equal(open, name.startsWith('open-'), 'what the manual leaves open has another name');
  });

test('a program that writes to the region of its VMCS is not compared', () => {
  const at = LAYOUT.REGIONS + OFFSET.GUEST_RIP;
  const begin = [steps.pointerStep('VMXON', 0), steps.pointerStep('VMPTRLD', steps.REGION_POINTER(0))];
  const seen = (store: readonly Step[]): Outcome =>
    new Pair(CONFIGURATIONS[0], 'off').run(
      {
        ...{ ...CONFIGURATIONS[0], seed: 1, defined: true, patches: [], lists: [] },
        steps: [...begin, ...store, steps.vmreadStep('GUEST_RIP'), steps.plainStep('VMXOFF')],
      },
      false,
    );
  assert.equal(seen([steps.storeStep('the region', at, 5n)]).overwrites, true);
  assert.equal(seen([steps.storeStep('the region, with what is there', at, 0n)]).overwrites, true);
  assert.equal(
    seen([steps.pointerStep('VMCLEAR', steps.REGION_POINTER(0)), steps.storeStep('a cleared region', at, 5n)])
      .overwrites,
    false,
  );
  assert.equal(seen([steps.storeStep('another region', at + 0x1000, 5n)]).overwrites, false);
});

test('regions are watched on when the room for translations is used up', () => {
  const side = bareSide(CONFIGURATIONS[0], 'off');
  const watch = new RegionWatch(side);
  side.unit.vmx?.makeCurrent(LAYOUT.REGIONS);
  side.unit.decoding.translator.store.dropAll();
  assert.equal(watch.isOverwritten, false);
  side.write(LAYOUT.REGIONS + 8, Uint8Array.of(1));
  assert.equal(watch.isOverwritten, true);
});

test('several processes share the programs of a seed', async () => {
  const script = join(import.meta.dirname, 'main.ts');
  const run = promisify(execFile)(process.execPath, [script, '--seed', '1', '--steps', '40', '--jobs', '2']);
  const { stdout } = await run;
  const counts = [...stdout.matchAll(/^[01]: programs +(\d+)/gm)].map(([, count]) => Number(count));
  assert.equal(counts.length, 2, stdout);
  assert.match(stdout, new RegExp(`^in all: ${counts[0] + counts[1]} programs, \\d+ steps, 0 findings$`, 'm'));
});
