// SPDX-License-Identifier: Apache-2.0

/** A guest as data: which packages, which of their files, what runs first, and how its kernel is started. */
export interface Recipe {
  /** Names the guest in messages. */
  readonly name: string;
  /** Package that holds the kernel, or a metapackage for it: "linux-image-cloud-amd64", also "NAME=VERSION". */
  readonly kernelPackage: string;
  /** The words of the kernel's command line. */
  readonly commandLine: readonly ReasonedWord[];
  /** What the initramfs holds. Parent folders come by themselves. */
  readonly contents: readonly Content[];
}

/** A word of a command line, and why it is there. */
export interface ReasonedWord {
  readonly word: string;
  readonly reason: string;
}

/** Paths have no leading slash. `from` is a path in the package. */
export type Content =
  | { readonly kind: 'directory'; readonly path: string; readonly mode: number }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | {
      readonly kind: 'device';
      readonly path: string;
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    }
  | { readonly kind: 'text'; readonly path: string; readonly text: string }
  /** A file of the folder `guests`, executable. */
  | { readonly kind: 'script'; readonly path: string; readonly script: string }
  /** One file of a package. */
  | { readonly kind: 'file'; readonly path: string; readonly package: string; readonly from: string }
  /** A program at its own path, its program interpreter and its shared libraries from the package's dependencies. */
  | { readonly kind: 'program'; readonly package: string; readonly from: string }
  /** Kernel modules by name, with those they depend on; `list` gets their paths, one a line, in loading order. */
  | { readonly kind: 'modules'; readonly names: readonly string[]; readonly list: string }
  /** Another guest: its `kernel`, `initrd` and `command-line` in the folder `path`. */
  | { readonly kind: 'guest'; readonly path: string; readonly recipe: Recipe };

export function commandLineText(words: readonly ReasonedWord[]): string {
  return words.map(({ word }) => word).join(' ');
}

/** The packages a recipe names itself, without its kernel's and without those of guests inside. */
export function namedPackages(recipe: Recipe): { readonly plain: string[]; readonly withDependencies: string[] } {
  const plain = recipe.contents.flatMap((content) => (content.kind === 'file' ? [content.package] : []));
  const withDependencies = recipe.contents.flatMap((content) => (content.kind === 'program' ? [content.package] : []));
  return { plain: [...new Set(plain)], withDependencies: [...new Set(withDependencies)] };
}
