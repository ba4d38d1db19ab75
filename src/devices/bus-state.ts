// SPDX-License-Identifier: Apache-2.0
import { assert } from '../base/assert.ts';

/** The words a device's state may be written in: numbers, typed arrays, and records or lists of these. */
export type StateArray = Uint8Array | Uint16Array | Uint32Array | Float64Array;
export type StateValue = number | StateArray | StateRecord | StateRecord[];
export interface StateRecord {
  [field: string]: StateValue;
}

/** A device whose whole guest-visible state is `save()`d and `restore()`d as data. */
export interface Stateful {
  save(): StateRecord;
  /** `saved` comes from `save()` of a device of the same description. */
  restore(saved: StateRecord): void;
}

/** A deep copy that shares nothing with `state`. */
export function copyState<State extends StateValue>(state: State): State;
export function copyState(state: StateValue): StateValue {
  if (typeof state === 'number') return state;
  if (ArrayBuffer.isView(state)) return state.slice();
  if (Array.isArray(state)) return state.map((element) => copyState(element));
  return Object.fromEntries(Object.entries(state).map(([field, value]) => [field, copyState(value)]));
}

/** Copies `saved` into `state` field by field, in place, so that nobody's reference to an array goes stale. */
export function restoreState(state: StateRecord, saved: StateRecord): void {
  const fields = Object.keys(state);
  assert(fields.join() === Object.keys(saved).join(), `saved state has other fields than ${fields.join()}`);
  for (const field of fields) state[field] = restoredValue(field, state[field], saved[field]);
}

function restoredValue(field: string, current: StateValue, saved: StateValue): StateValue {
  if (typeof current === 'number') {
    assert(typeof saved === 'number', `saved ${field} is not a number`);
    return saved;
  }
  if (ArrayBuffer.isView(current)) {
    assert(ArrayBuffer.isView(saved) && saved.length === current.length, `saved ${field} has another length`);
    current.set(saved);
    return current;
  }
  if (Array.isArray(current)) {
    assert(Array.isArray(saved) && saved.length === current.length, `saved ${field} has another length`);
    current.forEach((element, index) => restoreState(element, saved[index]));
    return current;
  }
  restoreState(current, saved as StateRecord);
  return current;
}
