// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../../base/errors.ts';
import { QEMU_OPTIONS } from './options.ts';
import { defaultSettings } from './settings.ts';
import type { QemuSettings } from './settings.ts';

/** QEMU's command line. Throws UserError; what has no effect is left in `notices`. */
export function parseQemuArguments(args: readonly string[]): QemuSettings {
  const settings = defaultSettings();
  for (let at = 0; at < args.length && settings.print === undefined; at++) {
    const word = args[at]!;
    const option = QEMU_OPTIONS.find(({ name }) => word === `-${name}` || word === `--${name}`);
    if (option === undefined) throw unknownWord(word);
    const value = option.argument === undefined ? '' : args[++at];
    if (value === undefined) throw new UserError(`${word}: requires an argument`, `write ${word} ${option.argument}`);
    option.apply(settings, value);
  }
  return settings;
}

function unknownWord(word: string): UserError {
  if (word.startsWith('-') && word !== '-')
    return new UserError(`${word}: invalid option`, 'turtles-qemu -help lists those there are');
  return new UserError(
    `${word}: a disk image can only be given by option`,
    `write -drive file=${word},format=raw,if=virtio`,
  );
}
