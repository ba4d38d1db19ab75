// SPDX-License-Identifier: Apache-2.0
import { NestedVmx } from '../l0/nested/nested-vmx.ts';
import type { Recorder } from '../trace/recorder.ts';
import { CPU_PROFILES } from './hypervisor.ts';
import type { HypervisorChoice } from './hypervisor.ts';
import { L0Pc } from './l0-pc.ts';
import { Pc } from './pc.ts';
import type { PcOptions } from './pc.ts';

/** A PC that is run: the machine itself, or what L0 shows of it. */
export type AnyPc = Pc | L0Pc;

/** The one place that decides what owns the machine: the guest, or L0 with the guest as its L1. */
export function makePc(options: PcOptions, { bare, paging }: HypervisorChoice, recorder: Recorder): AnyPc {
  if (bare) return new Pc({ ...options, recorder });
  // L0 needs VT-x of the machine even for a guest that is shown none.
  const vmxProfile = options.vmxProfile ?? CPU_PROFILES.modern;
  if (options.vmxProfile === undefined) return new L0Pc({ ...options, vmxProfile, l0: { recorder } });
  return new L0Pc({ ...options, vmxProfile, l0: { recorder, nested: (host) => new NestedVmx(host, { paging }) } });
}
