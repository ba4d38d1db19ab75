// SPDX-License-Identifier: Apache-2.0
// A program on the machine itself and under L0: every exit compared, then the end and all of memory.
import assert from 'node:assert/strict';
import { exitReason } from '../../../src/arch/vmx/exit-reasons.ts';
import type { ExitReasonName } from '../../../src/arch/vmx/exit-reasons.ts';
import { PROFILES } from '../../../src/arch/vmx/profiles.ts';
import type { NestedHost } from '../../../src/l0/nested-hooks.ts';
import { NestedVmx } from '../../../src/l0/nested/nested-vmx.ts';
import { L0Pc } from '../../../src/system/l0-pc.ts';
import { Pc } from '../../../src/system/pc.ts';
import type { PcEnd } from '../../../src/system/pc.ts';
import { IMAGES, readImage } from '../image.ts';
import { BareWatch, NestedWatch } from '../exit-watch.ts';
import type { RecordedExits } from '../exit-sequence.ts';
import { layoutOf } from '../seen-exit.ts';
import type { Layout } from '../seen-exit.ts';
import { kernelOf } from './image.ts';
import type { Program, Signal } from './image.ts';
import { AT } from './layout.ts';

const RAM_BYTES = 16 << 20;
const MOST_TICKS = 4e6;
/** What L1 writes to the debug-exit port at the end of its script, as the device reports it. */
const FINISHED: PcEnd = { kind: 'debugExit', code: 3 };

const { bytes: code } = readImage(IMAGES.scripted);

class OrderedWatch extends BareWatch {
  readonly order: ExitReasonName[] = [];

  override exit(level: number, processor: number, reason: number): void {
    const row = exitReason(reason & 0xffff);
    assert.ok(row);
    this.order.push(row.name);
    super.exit(level, processor, reason);
  }
}

export interface BareRun {
  readonly order: readonly ExitReasonName[];
  readonly recorded: RecordedExits;
  readonly layout: Layout;
  readonly memory: Uint8Array;
  readonly end: PcEnd | undefined;
}

function options({ profile, processors }: Program) {
  const nothing = { serial: [], disks: [], startTime: 0 };
  const debugExit = { port: 0xf4, size: 4 };
  return { ...nothing, ramBytes: RAM_BYTES, processors, frequencyHz: 1e9, seed: 1, vmxProfile: profile, debugExit };
}

function boot(pc: Pc | L0Pc, program: Program, slice: number, send: (signal: Signal[1]) => void): void {
  pc.boot({ kernel: kernelOf(program, code), kernelName: 'scripted', commandLine: '', modules: [] });
  const stops = Array.from({ length: Math.floor(MOST_TICKS / slice) }, (_, i) => slice * (i + 1));
  for (const stop of [...stops, ...program.signals.map(([ticks]) => ticks)].toSorted((a, b) => a - b)) {
    if (pc.run(stop) !== 'limit') return;
    for (const [ticks, what] of program.signals) if (ticks === stop) send(what);
  }
}

const STARTUP_VECTOR = 0x9a;

function signalTo(processor: { init(): void; startup(vector: number): void }): (signal: Signal[1]) => void {
  return (signal) => (signal === 'INIT' ? processor.init() : processor.startup(STARTUP_VECTOR));
}

/** What the processor keeps in its regions is its own affair. */
function memoryOf(read: (address: number, bytes: Uint8Array) => void): Uint8Array {
  const memory = new Uint8Array(RAM_BYTES);
  read(0, memory);
  return memory.fill(0, AT.VMXON_REGION, AT.OTHER_REGION + 0x1000);
}

/** In slices of so many ticks, which nobody must notice. */
export function runBare(program: Program, slice = MOST_TICKS): BareRun {
  const layout = layoutOf(PROFILES[program.profile]);
  const watch = new OrderedWatch(layout);
  const pc = new Pc({ ...options(program), recorder: watch });
  watch.attach(pc);
  boot(pc, program, slice, signalTo(pc.machine.processors[0].events));
  const memory = memoryOf((address, bytes) => pc.machine.memory.read(address, bytes));
  return { order: watch.order, recorded: watch.recorded, layout, memory, end: pc.end };
}

/** Throws `ExitDiffers`, or an assertion that says what else is different. */
export function compareUnderL0(
  program: Program,
  bare: BareRun,
  watch = new NestedWatch(bare.layout, bare.recorded),
  slice = MOST_TICKS,
): void {
  const l0 = { recorder: watch, nested: (host: NestedHost) => new NestedVmx(host) };
  const pc = new L0Pc({ ...options(program), permute: 9, l0 });
  watch.attach(pc);
  boot(pc, program, slice, signalTo(pc.l0.vcpus[0]));
  watch.finish();
  assert.deepEqual([pc.end, bare.end], [FINISHED, FINISHED], 'L1 comes to the end of its script');
  const memory = memoryOf((address, bytes) => pc.l0.l1.memory.read(address, bytes));
  const byte =
    Buffer.compare(memory, bare.memory) === 0 ? -1 : memory.findIndex((value, i) => value !== bare.memory[i]);
  assert.equal(byte, -1, `memory at ${byte.toString(16)}: ${bare.memory[byte]} bare, ${memory[byte]} under L0`);
}
