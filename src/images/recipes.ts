// SPDX-License-Identifier: Apache-2.0
import type { Content, ReasonedWord, Recipe } from './recipe.ts';

/** Which of Debian's packages the guests are made of. Each may be "NAME" or "NAME=VERSION". */
export interface DebianChoice {
  /** A kernel image package or a metapackage for one. */
  readonly kernel: string;
  /** The package with QEMU, and the path of the program in it. */
  readonly qemu: string;
  readonly qemuProgram: string;
  /** KVM's module for the processor L1 sees. */
  readonly kvmModule: string;
}

export const DEBIAN: DebianChoice = {
  kernel: 'linux-image-cloud-amd64',
  qemu: 'qemu-system-x86',
  qemuProgram: 'usr/bin/qemu-system-x86_64',
  kvmModule: 'kvm-intel',
};

/** This word on a kernel's command line makes a guest check itself and power off, instead of giving a shell. */
export const BATCH_WORD = 'turtles.batch';

/** SHA-256 of the first 16 MiB of an endless repetition of the line "turtles": what the self-check computes. */
export const SELF_CHECK_SHA256 = '72f7957fff318f2fec985ab99c2ba2792ba941aacd780c748b2f17fbeb565695';

/** Lines on a guest's console that say how far it got; the scripts in `guests` print them. */
export const MARKERS = {
  hypervisorUp: 'turtles: L1 is up',
  startingInnerGuest: 'turtles: starting L2',
  innerGuestEnded: "turtles: L2's QEMU ended with status ",
  shell: 'turtles: shell',
  selfCheckBegins: 'turtles: self-check begins',
  selfCheckPassed: 'turtles: self-check passed',
  poweringOff: 'turtles: powering off',
} as const;

// prettier-ignore
const MACHINE_WORDS: readonly ReasonedWord[] = [
  { word: 'console=ttyS0', reason: 'the first 16550 is the console' },
  { word: 'panic=-1',      reason: 'a panic resets at once, so that it ends the run instead of hanging it' },
];

// prettier-ignore
const INNER_WORDS: readonly ReasonedWord[] = [
  { word: 'console=ttyS0', reason: "QEMU's 16550, which QEMU joins to L1's second one" },
  { word: 'panic=-1',      reason: 'a panic resets at once, and QEMU with -no-reboot then ends' },
  { word: 'quiet',         reason: 'each character that L2 prints costs several nested exits; its warnings still come' },
];

/** How L1 runs QEMU; the kernel, the initramfs and the command line of the guest are added by the script. */
// prettier-ignore
export const QEMU_WORDS: readonly ReasonedWord[] = [
  { word: '-M microvm',                                  reason: 'the smallest PC QEMU has: no PCI to enumerate, no option ROMs but the loader' },
  { word: '-accel kvm',                                  reason: "KVM or nothing: never QEMU's own emulation" },
  { word: '-cpu host',                                   reason: 'what the processor of L1 shows' },
  { word: '-m 128',                                      reason: 'MiB; the guest needs 60' },
  { word: '-nodefaults -no-user-config -display none',   reason: 'no device that is not named here' },
  { word: '-monitor none',                               reason: 'every byte of the console belongs to the guest' },
  { word: '-chardev serial,id=console,path=/dev/ttyS1',  reason: "L2's console is L1's second 16550: a byte's level is known by its port" },
  { word: '-serial chardev:console',                     reason: "... and L2's first 16550" },
  { word: '-no-reboot',                                  reason: 'a reset of L2 ends QEMU' },
];

/** busybox as the shell and all tools, and what every init needs. */
const BASE: readonly Content[] = [
  ...['dev', 'proc', 'sys', 'root', 'tmp'].map((path) => ({ kind: 'directory', path, mode: 0o755 }) as const),
  { kind: 'device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
  { kind: 'device', path: 'dev/null', mode: 0o666, major: 1, minor: 3 },
  { kind: 'file', path: 'bin/busybox', package: 'busybox-static', from: 'bin/busybox' },
  { kind: 'symlink', path: 'bin/sh', target: 'busybox' },
  { kind: 'text', path: 'etc/passwd', text: 'root::0:0:root:/root:/bin/sh\n' },
];

const PLAIN: readonly Content[] = [
  ...BASE,
  { kind: 'script', path: 'init', script: 'init.sh' },
  { kind: 'text', path: 'etc/turtles/expected-sha256', text: `${SELF_CHECK_SHA256}\n` },
];

/** A guest with a shell and nothing else: L1 when no hypervisor is to run. */
export function plainGuest(choice: DebianChoice = DEBIAN): Recipe {
  return { name: 'plain guest', kernelPackage: choice.kernel, commandLine: MACHINE_WORDS, contents: PLAIN };
}

/** L2: the same, but told to say little. */
export function innerGuest(choice: DebianChoice = DEBIAN): Recipe {
  return { name: 'L2', kernelPackage: choice.kernel, commandLine: INNER_WORDS, contents: PLAIN };
}

/** L1: KVM and QEMU, with `inner` to run. */
export function hypervisorGuest(choice: DebianChoice = DEBIAN, inner: Recipe = innerGuest(choice)): Recipe {
  const lines = QEMU_WORDS.map(({ word }) => `${word}\n`).join('');
  return {
    name: 'L1',
    kernelPackage: choice.kernel,
    commandLine: MACHINE_WORDS,
    contents: [
      ...BASE,
      { kind: 'script', path: 'init', script: 'hypervisor-init.sh' },
      { kind: 'modules', names: [choice.kvmModule], list: 'etc/turtles/modules' },
      { kind: 'program', package: choice.qemu, from: choice.qemuProgram },
      ...FIRMWARE,
      { kind: 'text', path: 'etc/turtles/qemu', text: `/${choice.qemuProgram}\n` },
      { kind: 'text', path: 'etc/turtles/qemu-arguments', text: lines },
      { kind: 'guest', path: 'guest', recipe: inner },
    ],
  };
}

/** What QEMU loads into a microvm that boots a kernel directly. */
const FIRMWARE: readonly Content[] = [
  {
    kind: 'file',
    path: 'usr/share/qemu/bios-microvm.bin',
    package: 'qemu-system-data',
    from: 'usr/share/qemu/bios-microvm.bin',
  },
  {
    kind: 'file',
    path: 'usr/share/qemu/linuxboot_dma.bin',
    package: 'qemu-system-data',
    from: 'usr/share/qemu/linuxboot_dma.bin',
  },
];
