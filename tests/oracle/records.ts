// SPDX-License-Identifier: Apache-2.0

import type { CaseInput, MemoryBytes, Outcome } from './case.ts';
import type { UserState } from './cpu-under-test.ts';

// Binary layouts shared with native/runner.c, little-endian:
//   state    general 16×u64, rip, rflags, fsBase, gsBase u64, mxcsr u32, fcw, fsw u16, ftw u8, selectors of DS ES FS GS 4×u8, 3 reserved, st 8×16, xmm 16×16
//   case     flags u32 (bit 0: repeat, bit 1: stream), code length u16, patches u8, 1 reserved, state, code, patches: u64 address, u16 length, bytes
//   outcome  vector u16 (0xffff: completed), writes u16, error code u32, address u64, state, writes as patches

export const STATE_BYTES = 560;
const CASE_HEADER = 8;
const OUTCOME_HEADER = 16;
const COMPLETED = 0xffff;

export function createUserState(): UserState {
  return {
    general: new BigUint64Array(16),
    rip: 0n,
    rflags: 0x202n,
    fsBase: 0n,
    gsBase: 0n,
    selectors: new Uint8Array(4),
    mxcsr: 0x1f80,
    fcw: 0x37f,
    fsw: 0,
    ftw: 0,
    st: new Uint8Array(128),
    xmm: new Uint8Array(256),
  };
}

export function copyUserState(state: UserState): UserState {
  return {
    ...state,
    general: state.general.slice(),
    selectors: state.selectors.slice(),
    st: state.st.slice(),
    xmm: state.xmm.slice(),
  };
}

export function writeState(view: DataView, at: number, state: UserState): void {
  for (let n = 0; n < 16; n++) view.setBigUint64(at + 8 * n, state.general[n], true);
  view.setBigUint64(at + 128, state.rip, true);
  view.setBigUint64(at + 136, state.rflags, true);
  view.setBigUint64(at + 144, state.fsBase, true);
  view.setBigUint64(at + 152, state.gsBase, true);
  view.setUint32(at + 160, state.mxcsr, true);
  view.setUint16(at + 164, state.fcw, true);
  view.setUint16(at + 166, state.fsw, true);
  view.setUint8(at + 168, state.ftw);
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at);
  bytes.set(state.selectors, 169);
  bytes.fill(0, 173, 176);
  bytes.set(state.st, 176);
  bytes.set(state.xmm, 304);
}

export function readState(view: DataView, at: number): UserState {
  const start = view.byteOffset + at;
  const general = new BigUint64Array(16);
  for (let n = 0; n < 16; n++) general[n] = view.getBigUint64(at + 8 * n, true);
  return {
    general,
    rip: view.getBigUint64(at + 128, true),
    rflags: view.getBigUint64(at + 136, true),
    fsBase: view.getBigUint64(at + 144, true),
    gsBase: view.getBigUint64(at + 152, true),
    selectors: new Uint8Array(view.buffer.slice(start + 169, start + 173)),
    mxcsr: view.getUint32(at + 160, true),
    fcw: view.getUint16(at + 164, true),
    fsw: view.getUint16(at + 166, true),
    ftw: view.getUint8(at + 168),
    st: new Uint8Array(view.buffer.slice(start + 176, start + 304)),
    xmm: new Uint8Array(view.buffer.slice(start + 304, start + 560)),
  };
}

function caseSize(input: CaseInput): number {
  let size = CASE_HEADER + STATE_BYTES + input.code.length;
  for (const patch of input.memory) size += 10 + patch.bytes.length;
  return size;
}

/** The cases one after the other, as the native runner reads them. */
export function encodeCases(cases: readonly CaseInput[]): Uint8Array {
  const bytes = new Uint8Array(cases.reduce((sum, input) => sum + caseSize(input), 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const input of cases) {
    view.setUint32(at, (input.repeat ? 1 : 0) | (input.stream ? 2 : 0), true);
    view.setUint16(at + 4, input.code.length, true);
    view.setUint8(at + 6, input.memory.length);
    writeState(view, at + CASE_HEADER, input.state);
    at += CASE_HEADER + STATE_BYTES;
    bytes.set(input.code, at);
    at += input.code.length;
    for (const patch of input.memory) at = writePatch(bytes, view, at, patch);
  }
  return bytes;
}

function writePatch(bytes: Uint8Array, view: DataView, at: number, patch: MemoryBytes): number {
  view.setBigUint64(at, patch.address, true);
  view.setUint16(at + 8, patch.bytes.length, true);
  bytes.set(patch.bytes, at + 10);
  return at + 10 + patch.bytes.length;
}

/** All outcomes the runner wrote, in the order of the cases. */
export function decodeOutcomes(bytes: Uint8Array): Outcome[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const outcomes: Outcome[] = [];
  let at = 0;
  while (at < bytes.length) {
    const vector = view.getUint16(at, true);
    const count = view.getUint16(at + 2, true);
    const errorCode = view.getUint32(at + 4, true);
    const address = view.getBigUint64(at + 8, true);
    const state = readState(view, at + OUTCOME_HEADER);
    at += OUTCOME_HEADER + STATE_BYTES;
    const writes: MemoryBytes[] = [];
    for (let n = 0; n < count; n++) {
      const length = view.getUint16(at + 8, true);
      writes.push({ address: view.getBigUint64(at, true), bytes: bytes.slice(at + 10, at + 10 + length) });
      at += 10 + length;
    }
    outcomes.push(vector === COMPLETED ? { state, writes } : { fault: { vector, errorCode, address }, state, writes });
  }
  return outcomes;
}
