// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../../base/errors.ts';
import type { Host } from '../../platform/node/host.ts';
import { seededEntropy } from '../../system/entropy.ts';
import { CPU_PROFILES } from '../../system/hypervisor.ts';
import type { SessionDescription } from '../../system/session.ts';
import { START_TIME } from '../start-time.ts';
import type { DriveSetting, QemuSettings } from './settings.ts';
import { splitAtCommas } from './values.ts';

type Boot = SessionDescription['boot'];
type Machine = SessionDescription['pc'];

/** The kernel with its ramdisk or modules: "file args,file2", where a doubled comma belongs to the arguments. */
export function qemuBootRequest(settings: QemuSettings, kernel: string, host: Pick<Host, 'readFile'>): Boot {
  const modules = settings.initrd === undefined ? [] : splitAtCommas(settings.initrd);
  return {
    kernel: host.readFile(kernel, '-kernel'),
    kernelName: kernel,
    commandLine: settings.append,
    modules: modules.map((words) => {
      const name = words.trimStart().split(' ')[0]!;
      return { name, bytes: host.readFile(name, '-initrd'), commandLine: words.trimStart() };
    }),
  };
}

/** The PC that the options describe. */
export function qemuMachine(settings: QemuSettings, host: Pick<Host, 'openDisk' | 'unixTime'>): Machine {
  const startTime = settings.startTime === 'now' ? host.unixTime() : (settings.startTime ?? START_TIME);
  const vmx = settings.vmx ?? false;
  return {
    ramBytes: settings.memoryBytes,
    processors: settings.processors,
    startTime,
    disks: attachedDrives(settings).map(({ file, readOnly }) => host.openDisk(file, readOnly, '-drive')),
    frequencyHz: 1e9,
    seed: settings.seed,
    cpuFeatures: settings.cpuFeatures,
    pcTestDevice: settings.pcTestDevice,
    pciTestDevice: settings.pciTestDevice,
    ...(vmx ? { vmxProfile: CPU_PROFILES[settings.profile ?? 'modern'] } : {}),
    ...(settings.debugExit ? { debugExit: settings.debugExit } : {}),
    ...(settings.entropy ? { entropy: seededEntropy(settings.seed) } : {}),
  };
}

/** What was run, for a replay. */
export function qemuOptions(
  settings: QemuSettings,
  { startTime }: Machine,
  boot: Boot,
  host: Pick<Host, 'sha256'>,
): object {
  const modules = boot.modules.map(({ bytes }) => host.sha256(bytes));
  return { ...settings, notices: undefined, startTime, kernel: host.sha256(boot.kernel), modules };
}

/** In the order of the command line: drives with if=virtio, then those that a -device takes. */
function attachedDrives({ drives, driveDevices }: QemuSettings): DriveSetting[] {
  const named = driveDevices.map((id) => {
    const drive = drives.find((candidate) => candidate.interface === 'none' && candidate.id === id);
    if (drive !== undefined) return drive;
    throw new UserError(
      `-device virtio-blk-pci: there is no drive '${id}'`,
      `add -drive file=FILE,format=raw,if=none,id=${id || 'ID'}`,
    );
  });
  return [...drives.filter((drive) => drive.interface === 'virtio'), ...named];
}
