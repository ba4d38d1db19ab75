// SPDX-License-Identifier: Apache-2.0
import type { OnEntryFailure } from '../../system/entry-failures.ts';
import type { PagingMode } from '../../system/hypervisor.ts';

/** Where a serial port leads. */
export type SerialSetting =
  | { readonly kind: 'stdio'; readonly signals: boolean }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'null' }
  | { readonly kind: 'none' };

export interface DriveSetting {
  readonly file: string;
  /** `virtio`: a device of its own; `none`: waits for a -device that names its id. */
  readonly interface: 'virtio' | 'none';
  readonly id: string | undefined;
  readonly readOnly: boolean;
}

/** What QEMU's options came to. */
export interface QemuSettings {
  kernel: string | undefined;
  initrd: string | undefined;
  append: string;
  memoryBytes: number;
  processors: number;
  /** What `-cpu` names; undefined without one. */
  cpuModel: string | undefined;
  /** `+x`, `-x` and `x=on` of `-cpu`, VMX left out. */
  cpuFeatures: string[];
  /** Undefined: as the model has it. */
  vmx: boolean | undefined;
  profile: 'paper' | 'modern' | undefined;
  l0: boolean;
  paging: PagingMode;
  serial: SerialSetting[];
  nographic: boolean;
  defaults: boolean;
  reboot: boolean;
  debugExit: { readonly port: number; readonly size: number } | undefined;
  pcTestDevice: boolean;
  pciTestDevice: boolean;
  entropy: boolean;
  drives: DriveSetting[];
  /** Ids of the drives that a -device takes. */
  driveDevices: string[];
  /** Unix time; undefined: the one every run has. */
  startTime: number | 'now' | undefined;
  seed: number;
  /** When a VM entry fails. */
  onEntryFailure: OnEntryFailure;
  /** A level that goes in circles with interrupts off for so long ends the run, in virtual time; 0: never. */
  wedgeSeconds: number;
  /** A list of the guest's symbols. */
  symbols: string | undefined;
  /** To be printed instead of running anything. */
  print: string | undefined;
  /** What was accepted and has no effect: one sentence each, said once. */
  readonly notices: Set<string>;
}

const MEBIBYTE = 2 ** 20;

/** QEMU's own defaults. */
export function defaultSettings(): QemuSettings {
  return {
    kernel: undefined,
    initrd: undefined,
    append: '',
    memoryBytes: 128 * MEBIBYTE,
    processors: 1,
    cpuModel: undefined,
    cpuFeatures: [],
    vmx: undefined,
    profile: undefined,
    l0: false,
    paging: 'multi-dimensional',
    serial: [],
    nographic: false,
    defaults: true,
    reboot: true,
    debugExit: undefined,
    pcTestDevice: false,
    pciTestDevice: false,
    entropy: false,
    drives: [],
    driveDevices: [],
    startTime: undefined,
    seed: 1,
    onEntryFailure: 'report',
    wedgeSeconds: 0,
    symbols: undefined,
    print: undefined,
    notices: new Set(),
  };
}
