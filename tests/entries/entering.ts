// SPDX-License-Identifier: Apache-2.0
// VM entries as software sees them: a machine with the small L1 on it, bare or under L0, that enters one VMCS after
// another and tells what became of each.
import assert from 'node:assert/strict';
import { VMCS_REGION_SIZE } from '../../src/arch/vmx/encoding.ts';
import { OFFSET } from '../../src/arch/vmx/fields.ts';
import type { FieldName } from '../../src/arch/vmx/fields.ts';
import type { ExampleVmcs } from '../../src/arch/vmx/example-vmcs.ts';
import type { VmxCapabilities } from '../../src/arch/vmx/capabilities.ts';
import { PROFILES, VMCS_REVISION_ID } from '../../src/arch/vmx/profiles.ts';
import type { ProfileName } from '../../src/arch/vmx/profiles.ts';
import { RegionView } from '../../src/arch/vmx/vmcs-view.ts';
import type { NestedHost } from '../../src/l0/nested-hooks.ts';
import { NestedVmx } from '../../src/l0/nested/nested-vmx.ts';
import type { Recorder } from '../../src/trace/recorder.ts';
import { L0Pc } from '../../src/system/l0-pc.ts';
import { Pc } from '../../src/system/pc.ts';
import { AT, CR0, CR4, EXITED, MAIL, SELECTOR, hostTables, smallL1 } from './l1.ts';

export type Under = 'bare' | 'L0';

/** How an entry ended: as flags and error number, or as a VM exit. */
export type Ending =
  | { readonly kind: 'VMfailInvalid' }
  | { readonly kind: 'VMfailValid'; readonly error: number }
  | { readonly kind: 'exit'; readonly reason: number; readonly qualification: bigint }
  /** The guest does not exit. */
  | { readonly kind: 'runs on' };

const RAM_BYTES = 16 << 20;
const SLICE = 4000;
const MOST_SLICES = 25;
const [CF, ZF, STATUS_FLAGS] = [1, 0x40, 0x8d5];

export class Entering {
  readonly capabilities: VmxCapabilities;
  /** The region of the last VMCS, as L1 finds it after VMCLEAR. */
  readonly region = new RegionView(new Uint32Array(VMCS_REGION_SIZE / 4), 0);
  readonly #pc: Pc | L0Pc;
  readonly #long: boolean;
  readonly #l1: ReturnType<typeof smallL1>;
  readonly #word = new Uint8Array(4);
  /** Where the last VMCS wanted something in memory. */
  #poked: number[] = [];

  /** `long`: L1 is in 64-bit mode, otherwise in 32-bit mode. */
  constructor(profile: ProfileName, under: Under, long: boolean, recorder?: Recorder) {
    this.#long = long;
    this.#l1 = smallL1(long);
    const options = {
      ...{ ramBytes: RAM_BYTES, processors: 1, frequencyHz: 1e9, seed: 1, startTime: 0, serial: [], disks: [] },
      ...{ vmxProfile: profile, jit: 'off' as const, ...(recorder === undefined ? {} : { recorder }) },
    };
    if (under === 'bare') {
      this.#pc = new Pc(options);
      this.capabilities = PROFILES[profile];
    } else {
      let nested: NestedVmx | undefined;
      const l0 = { ...(recorder && { recorder }), nested: (host: NestedHost) => (nested = new NestedVmx(host)) };
      this.#pc = new L0Pc({ ...options, permute: 5, l0 });
      assert.ok(nested);
      this.capabilities = nested.capabilities;
    }
    const { kernel } = this.#l1;
    this.#pc.boot({ kernel, kernelName: 'small L1', commandLine: '', modules: [] });
    for (const [address, value] of hostTables()) this.poke(address, value);
    this.poke(AT.vmxon, VMCS_REVISION_ID);
    this.#until(MAIL.ready, (flags) => flags !== 0);
    assert.equal(this.peek(AT.mailbox + MAIL.ready) & STATUS_FLAGS, 0, 'VMXON succeeds');
  }

  /** Writes 32 bits of L1's memory. */
  poke(address: number, value: number): void {
    new DataView(this.#word.buffer).setUint32(0, value, true);
    this.#memory.write(address, this.#word);
  }
  peek(address: number): number {
    this.#memory.read(address, this.#word);
    return new DataView(this.#word.buffer).getUint32(0, true);
  }
  fill(address: number, bytes: Uint8Array): void {
    this.#memory.write(address, bytes);
  }

  /** Makes the host state that of L1, so that VM exits come back. */
  withHost(vmcs: ExampleVmcs): void {
    const values: { readonly [Name in FieldName]?: number } = {
      ...{ HOST_CR0: CR0, HOST_CR3: this.#long ? AT.tables : AT.pdpt, HOST_CR4: CR4, HOST_RSP: AT.stack },
      ...{ HOST_RIP: this.#l1.exited, HOST_GDTR_BASE: this.#l1.gdt, HOST_IDTR_BASE: 0, HOST_TR_BASE: AT.gdt },
      ...{ HOST_CS_SELECTOR: this.#long ? SELECTOR.code64 : SELECTOR.code32, HOST_SS_SELECTOR: SELECTOR.data },
      ...{ HOST_DS_SELECTOR: SELECTOR.data, HOST_ES_SELECTOR: SELECTOR.data, HOST_TR_SELECTOR: SELECTOR.tr },
    };
    for (const [name, value] of Object.entries(values) as [FieldName, number][]) vmcs.set(name, value);
  }

  /** Enters the guest of a VMCS, which lies at `context.currentVmcs`, as `how` says (bits of HOW). */
  enter({ view, memory, context }: ExampleVmcs, how = 0): Ending {
    for (const address of this.#poked) this.poke(address, 0);
    this.#poked = [...memory.keys()].filter((address) => address < RAM_BYTES);
    for (const address of this.#poked) this.poke(address, memory.get(address)!);
    const bytes = new Uint8Array(view.words.buffer, 0, VMCS_REGION_SIZE);
    this.fill(context.currentVmcs, bytes);
    this.poke(AT.mailbox + MAIL.how, how);
    this.poke(AT.mailbox + MAIL.region, context.currentVmcs);
    this.poke(AT.mailbox + MAIL.go, 1);
    const finished = this.#until(MAIL.go, (go) => go === 0);
    if (!finished) return { kind: 'runs on' };
    this.#memory.read(context.currentVmcs, new Uint8Array(this.region.words.buffer));
    return this.#ending(this.peek(AT.mailbox + MAIL.result));
  }
  get(name: FieldName): bigint {
    return (BigInt(this.region.high(OFFSET[name])) << 32n) | BigInt(this.region.low(OFFSET[name]));
  }

  get pc(): Pc | L0Pc {
    return this.#pc;
  }

  #ending(result: number): Ending {
    if (result === EXITED) {
      const [reason, qualification] = [Number(this.get('VM_EXIT_REASON')), this.get('EXIT_QUALIFICATION')];
      return { kind: 'exit', reason, qualification };
    }
    const flags = result & STATUS_FLAGS;
    if (flags === CF) return { kind: 'VMfailInvalid' };
    assert.equal(flags, ZF, 'the flags of a VMfail');
    return { kind: 'VMfailValid', error: Number(this.get('VM_INSTRUCTION_ERROR')) };
  }

  #until(offset: number, wanted: (value: number) => boolean): boolean {
    for (let slices = 0; slices < MOST_SLICES; slices++) {
      const outcome = this.#pc.run(this.#pc.machine.ticks + SLICE);
      assert.notEqual(outcome, 'ended', `L1 goes on: ${JSON.stringify(this.#pc.end)}`);
      if (wanted(this.peek(AT.mailbox + offset))) return true;
      if (outcome === 'idle') return false;
    }
    return false;
  }
  get #memory(): { read(address: number, bytes: Uint8Array): void; write(address: number, bytes: Uint8Array): void } {
    return 'l0' in this.#pc ? this.#pc.l0.l1.memory : this.#pc.machine.memory;
  }
}
