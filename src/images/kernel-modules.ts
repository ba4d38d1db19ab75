// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';
import { moduleInfo } from '../formats/elf-needs.ts';
import type { PackageFiles } from './package-files.ts';
import type { Codecs, CompressionFormat } from './ports.ts';

// prettier-ignore
const COMPRESSION: Readonly<Record<string, CompressionFormat | undefined>> = {
  '':    undefined,
  '.gz':  'gzip',
  '.xz':  'xz',
  '.zst': 'zstd',
};

/**
 * Paths of the modules `names` and of all that they depend on, each after those it needs. The dependencies are read
 * from the modules themselves: a package has no modules.dep (depmod makes it when the package is installed).
 */
export async function moduleLoadingOrder(
  files: PackageFiles,
  names: readonly string[],
  codecs: Codecs,
): Promise<string[]> {
  const paths = modulePaths(files);
  const order = new Set<string>();
  const visit = async (name: string): Promise<void> => {
    const path = paths.get(canonical(name));
    if (path === undefined)
      throw new UserError(`The kernel package has no module ${name}.`, 'choose a kernel that has it as a module');
    if (order.has(path)) return;
    for (const dependency of await dependencies(files, path, codecs)) await visit(dependency);
    order.add(path);
  };
  for (const name of names) await visit(name);
  return [...order];
}

function modulePaths(files: PackageFiles): Map<string, string> {
  const paths = new Map<string, string>();
  for (const path of files.paths()) {
    const match = /^(?:usr\/)?lib\/modules\/.*\/([^/]+)\.ko(?:\.(?:gz|xz|zst))?$/.exec(path);
    if (match !== null) paths.set(canonical(match[1]!), path);
  }
  return paths;
}

async function dependencies(files: PackageFiles, path: string, codecs: Codecs): Promise<string[]> {
  const bytes = files.at(path)!.entry.bytes;
  const format = COMPRESSION[/\.ko(.*)$/.exec(path)![1]!];
  const info = moduleInfo(format === undefined ? bytes : await codecs.decompress(format, bytes));
  return (info.get('depends') ?? []).flatMap((list) => list.split(',')).filter((name) => name !== '');
}

/** File names may have a dash where the module's name has an underscore. */
function canonical(name: string): string {
  return name.replaceAll('-', '_');
}
