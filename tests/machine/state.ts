// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto';
import type { Machine } from '../../src/machine/machine.ts';
import type { Processor } from '../../src/machine/cpu/processor.ts';
import { SEGMENT, STATE, segmentOffset } from '../../src/machine/cpu/state.ts';

const SEGMENTS = 8;
// prettier-ignore
const FIELDS = [
  'rip', 'gdtrBase', 'gdtrLimit', 'idtrBase', 'idtrLimit', 'cr0', 'cr2', 'cr3', 'cr4', 'dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7',
  'efer', 'star', 'lstar', 'cstar', 'fmask', 'kernelGsBase', 'sysenterCs', 'sysenterEsp', 'sysenterEip', 'pat', 'tscAux', 'xcr0',
] as const;
const WORDS = ['cpl', 'activity', 'interruptibility', 'mxcsr', 'fcw', 'fsw', 'ftw'] as const;

/** What software could find out about a processor; not how the engine happens to keep it. */
export function processorState(cpu: Processor): Record<string, string> {
  const state: Record<string, string> = {};
  for (let i = 0; i < 16; i++) state[`r${i}`] = cpu.reg64(i).toString(16);
  state['rflags'] = cpu.rflags.toString(16);
  for (const name of FIELDS) state[name] = cpu.get64(STATE[name]).toString(16);
  for (const name of WORDS) state[name] = cpu.get32(STATE[name]).toString(16);
  for (let segment = 0; segment < SEGMENTS; segment++) {
    const bytes = cpu.bytes.subarray(segmentOffset(segment), segmentOffset(segment) + SEGMENT.selector + 4);
    state[`segment${segment}`] = Buffer.from(bytes).toString('hex');
  }
  for (const [name, from, to] of [
    ['xmm', STATE.xmm, STATE.x87],
    ['x87', STATE.x87, STATE.ymmHigh],
  ] as const)
    state[name] = Buffer.from(cpu.bytes.subarray(from, to)).toString('hex');
  state['ticks'] = String(cpu.ticks);
  state['instructions'] = String(cpu.instructions);
  return state;
}

/** SHA-256 of all guest RAM. */
export function ramDigest(machine: Machine): string {
  const { layout, ramBytes, u8 } = machine.memory;
  return createHash('sha256')
    .update(u8.subarray(layout.ram, layout.ram + ramBytes))
    .digest('hex');
}

/** Processors and memory, for a comparison of two runs. */
export function machineState(machine: Machine): { processors: Record<string, string>[]; ram: string; ticks: number } {
  return {
    processors: machine.processors.map((unit) => processorState(unit.cpu)),
    ram: ramDigest(machine),
    ticks: machine.ticks,
  };
}
