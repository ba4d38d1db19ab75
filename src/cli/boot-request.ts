// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';
import { prepareGuest } from '../images/prepare.ts';
import { BATCH_WORD, DEBIAN } from '../images/recipes.ts';
import type { Host } from '../platform/node/host.ts';
import type { GuestDescription } from '../system/descriptions.ts';
import { checkInitrd } from '../system/initrd-check.ts';
import type { SessionDescription } from '../system/session.ts';
import type { RunArguments } from './run-options.ts';

type BootRequest = SessionDescription['boot'];

/** Of own files, when no --append is given: what our recipes begin with. */
const OWN_COMMAND_LINE = 'console=ttyS0 panic=-1';

/** The kernel and what goes with it: own files, or the description's images from the cache, built if need be. */
export async function bootRequest(args: RunArguments, description: GuestDescription, host: Host): Promise<BootRequest> {
  if (args.kernel !== undefined) return ownFiles(args, args.kernel, host);
  if (args.initrd !== undefined) {
    throw new UserError('--initrd needs a kernel that goes with it', 'give that one too, with --kernel');
  }
  const guest = await prepareGuest(description.recipe(debianChoice(args)), host.imageHost());
  return {
    kernel: guest.kernel,
    kernelName: `the kernel of ${description.name}`,
    commandLine: words(guest.commandLine, args.append, batchWord(args)),
    modules: [{ name: `the initial ramdisk of ${description.name}`, bytes: guest.initrd, commandLine: '' }],
  };
}

function ownFiles(args: RunArguments, kernel: string, host: Host): BootRequest {
  const initrd = args.initrd;
  const module =
    initrd === undefined ? [] : [{ name: initrd, bytes: host.readFile(initrd, '--initrd'), commandLine: initrd }];
  const request = {
    kernel: host.readFile(kernel, '--kernel'),
    kernelName: kernel,
    commandLine: args.append ?? words(OWN_COMMAND_LINE, batchWord(args)),
    modules: module,
  };
  checkInitrd(request);
  return request;
}

const batchWord = (args: RunArguments): string | undefined => (args.batch ? BATCH_WORD : undefined);
const words = (...parts: (string | undefined)[]): string => parts.filter((part) => part !== undefined).join(' ');

function debianChoice({ kernelPackage, qemuPackage }: RunArguments) {
  return { ...DEBIAN, kernel: kernelPackage ?? DEBIAN.kernel, qemu: qemuPackage ?? DEBIAN.qemu };
}
