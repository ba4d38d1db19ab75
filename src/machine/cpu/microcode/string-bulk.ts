// SPDX-License-Identifier: Apache-2.0
// MOVS and STOS by runs: page by page through the TLB, each piece by a block operation.
// See: SDM Vol. 1 7.3.9.3 Fast-String Operation; the result is that of the iterations one by one.

import type { HostAddress } from '../../memory/memory.ts';
import type { LinearAddress, Processor } from '../processor.ts';
import { RAX } from '../state.ts';
import { destination, source } from './string-step.ts';
import type { StringStep } from './string-step.ts';

/** Linear addresses of 64-bit mode are canonical: 48 bits, signed. */
const TOP = 2 ** 47;

/** Iterations from `at` that stay within its page, in the direction of DF; 0 when the first one does not. */
function inPage(step: StringStep, at: LinearAddress): number {
  const offset = at & 0xfff;
  if (step.stride > 0) return Math.trunc((0x1000 - offset) / step.bytes);
  return offset + step.bytes > 0x1000 ? 0 : Math.trunc(offset / step.bytes) + 1;
}

/** The first piece does at least two iterations: a single one is done where watched addresses are noted. */
const tooShort = (n: number, done: number): boolean => n < (done === 0 ? 2 : 1);

/** Up to `wanted` iterations of MOVS; fewer before a device, an element across pages or a fault, which is recorded. */
export function moveRun(step: StringStep, wanted: number): number {
  const { cpu, stride } = step;
  const { mmu, dataClass } = cpu;
  let from = source(step);
  let to = destination(step, true);
  if (cpu.faulted) {
    // Reading the source may fault too, and then first: the iteration will tell.
    cpu.faulted = false;
    return 0;
  }
  let done = 0;
  while (done < wanted && canonical(from) && canonical(to)) {
    const n = Math.min(wanted - done, inPage(step, from), inPage(step, to));
    if (tooShort(n, done)) break;
    const fromHost = mmu.reach(from, false, dataClass);
    if (cpu.faulted || fromHost === -1) break;
    const toHost = mmu.reach(to, true, dataClass);
    if (cpu.faulted || toHost === -1 || !copyElements(step, toHost, fromHost, n)) break;
    done += n;
    from += n * stride;
    to += n * stride;
  }
  return done;
}

/** The same for STOS. A page of zeros that nobody ever wrote stays as it is: the host need not back it. */
export function storeRun(step: StringStep, wanted: number): number {
  const { cpu, bytes, stride } = step;
  const { mmu, memory, dataClass } = cpu;
  const zeros = cpu.words[RAX * 2] === 0 && cpu.words[RAX * 2 + 1] === 0;
  let to = destination(step, true);
  if (cpu.faulted) return 0;
  let done = 0;
  while (done < wanted && canonical(to)) {
    const n = Math.min(wanted - done, inPage(step, to));
    if (tooShort(n, done)) break;
    const clears = zeros && n * bytes === 0x1000;
    const host = clears ? mmu.reachToClear(to, dataClass) : mmu.reach(to, true, dataClass);
    if (cpu.faulted || host === -1) break;
    const first = stride > 0 ? host : host - (n - 1) * bytes;
    if (!clears || !memory.stillZero(first)) {
      memory.noteWrite(first, n * bytes);
      fill(cpu, first, n * bytes, bytes);
    }
    done += n;
    to += n * stride;
  }
  return done;
}

function canonical(address: LinearAddress): boolean {
  return address >= -TOP && address < TOP;
}

/** Copies `n` elements within a page each. False, and nothing done, where only one by one gives the right result. */
function copyElements(step: StringStep, to: HostAddress, from: HostAddress, n: number): boolean {
  const { memory } = step.cpu;
  const { bytes, stride } = step;
  const length = n * bytes;
  const ahead = stride > 0 ? to - from : from - to;
  const repeats = ahead > 0 && ahead < length;
  if (repeats && (stride < 0 || ahead < bytes)) return false;
  const back = stride > 0 ? 0 : length - bytes;
  memory.noteWrite(to - back, length);
  memory.blocks.copy(to - back, from - back, repeats ? ahead : length);
  if (repeats) repeatPattern(step.cpu, to, ahead, length);
  return true;
}

/** The first `known` bytes are there; what follows repeats them. */
function repeatPattern(cpu: Processor, to: HostAddress, known: number, length: number): void {
  const { blocks } = cpu.memory;
  for (let done = known; done < length; done *= 2) blocks.copy(to + done, to, Math.min(done, length - done));
}

/** RAX over a block, `bytes` at a time. */
function fill(cpu: Processor, to: HostAddress, length: number, bytes: number): void {
  const { u8, blocks } = cpu.memory;
  const low = cpu.words[RAX * 2];
  const byte = low & 0xff;
  const repeated = Math.imul(byte, 0x01010101);
  const mask = bytes === 1 ? 0xff : bytes === 2 ? 0xffff : -1;
  if (((low ^ repeated) & mask) === 0 && (bytes < 8 || cpu.words[RAX * 2 + 1] === repeated))
    return blocks.fill(to, byte, length);
  for (let i = 0; i < bytes; i++) u8[to + i] = cpu.bytes[RAX * 8 + i];
  repeatPattern(cpu, to, bytes, length);
}
