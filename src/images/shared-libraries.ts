// SPDX-License-Identifier: Apache-2.0
import { elfNeeds } from '../formats/elf-needs.ts';
import { folderOf, resolvePath } from './package-files.ts';
import type { PackageFiles } from './package-files.ts';

/** Where Debian's ld.so looks after a file's own search path. See: ld.so(8). */
const DEFAULT_FOLDERS = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu', 'lib', 'usr/lib'];

/** What a program needs to start. */
export interface ProgramClosure {
  /** Paths to put into the image: the program, its interpreter, its libraries; symlinks as they are named. */
  readonly paths: readonly string[];
  /** Names no package here has, each with the path of the file that needs it. */
  readonly missing: ReadonlyMap<string, string>;
}

/**
 * Follows DT_NEEDED from the program at `path`, as ld.so would on an installed system. What a program loads by name
 * while it runs (dlopen) is not seen.
 */
export function programClosure(files: PackageFiles, path: string): ProgramClosure {
  const paths = new Set<string>();
  const missing = new Map<string, string>();
  const loaded = new Set<string>();
  const queue: [path: string, neededBy: string][] = [[path, path]];
  for (const [next, neededBy] of queue) {
    if (paths.has(next)) continue;
    const found = files.follow(next);
    if (found === undefined) {
      missing.set(next, neededBy);
      continue;
    }
    paths.add(next);
    const needs = elfNeeds(found.file.entry.bytes);
    if (needs.interpreter !== undefined) queue.push([resolvePath('', needs.interpreter), next]);
    for (const library of needs.libraries) {
      if (loaded.has(library)) continue;
      const at = findLibrary(files, library, needs.searchPath, folderOf(next));
      if (at === undefined) missing.set(library, next);
      else queue.push([at, next]);
      loaded.add(library);
    }
  }
  return { paths: [...paths], missing };
}

function findLibrary(
  files: PackageFiles,
  name: string,
  searchPath: readonly string[],
  origin: string,
): string | undefined {
  const own = searchPath.map((folder) => resolvePath('', folder.replace(/\$(ORIGIN|\{ORIGIN\})/, `/${origin}`)));
  const candidates = [...own, ...DEFAULT_FOLDERS].map((folder) => `${folder}/${name}`);
  const found = candidates.filter((path) => files.follow(path) !== undefined);
  return found.find((path) => files.has(path)) ?? found[0];
}
