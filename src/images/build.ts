// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';
import type { Apt, DebianPackage } from './apt.ts';
import { InitramfsBuilder } from './initramfs.ts';
import { moduleLoadingOrder } from './kernel-modules.ts';
import type { Manifest } from './manifest.ts';
import { PackageFiles } from './package-files.ts';
import type { PackagedFile } from './package-files.ts';
import type { ImageHost } from './ports.ts';
import { namedPackages } from './recipe.ts';
import type { Content, Recipe } from './recipe.ts';
import { programClosure } from './shared-libraries.ts';

/** The packages that a recipe comes to on the machine's lists of today. */
export interface ResolvedPackages {
  readonly kernel: DebianPackage;
  /** Those the recipe names. */
  readonly named: readonly DebianPackage[];
  /** What those with programs depend on: libraries first, as they are nearly always all that is needed. */
  readonly libraries: readonly DebianPackage[];
  readonly others: readonly DebianPackage[];
}

export interface GuestImage {
  /** bzImage. */
  readonly kernel: Uint8Array;
  /** Uncompressed newc archive. */
  readonly initrd: Uint8Array;
  readonly manifest: Manifest;
}

/** A guest that is ready to boot. */
export interface PreparedGuest extends GuestImage {
  readonly commandLine: string;
}

/** The guests inside the one that is being built, by their recipes. */
export type InnerGuests = ReadonlyMap<Recipe, PreparedGuest>;

/** Metapackages name the real kernel package, which holds the file, as what they depend on. */
const KERNEL_PACKAGE = /^linux-image-/;

export async function resolvePackages(recipe: Recipe, apt: Apt): Promise<ResolvedPackages> {
  const { plain, withDependencies } = namedPackages(recipe);
  const kernel = await kernelPackage(recipe.kernelPackage, apt);
  const named = await apt.show([...new Set([...plain, ...withDependencies])]);
  const names = new Set(named.map(({ name }) => name));
  const closure = (await apt.withDependencies(withDependencies)).filter(({ name }) => !names.has(name));
  const isLibrary = ({ section }: DebianPackage) => section.endsWith('libs');
  return { kernel, named, libraries: closure.filter(isLibrary), others: closure.filter((row) => !isLibrary(row)) };
}

async function kernelPackage(name: string, apt: Apt): Promise<DebianPackage> {
  const [found] = await apt.show([name]);
  const real = found!.dependsOn.find((dependency) => KERNEL_PACKAGE.test(dependency));
  return real === undefined ? found! : kernelPackage(real, apt);
}

/** Downloads what is missing, unpacks it, and puts the guest together. The same packages give the same bytes. */
export async function buildGuest(
  recipe: Recipe,
  packages: ResolvedPackages,
  apt: Apt,
  host: ImageHost,
  inner: InnerGuests,
): Promise<GuestImage> {
  const files = new PackageFiles();
  await unpack([packages.kernel, ...packages.named, ...packages.libraries], files, apt, host);
  const kernel = kernelFile(files, packages.kernel);
  if (missingLibraries(recipe, files).size > 0) await unpack(packages.others, files, apt, host);
  host.progress.stage(`putting together ${recipe.name}`);
  const builder = new InitramfsBuilder(host.codecs);
  for (const content of recipe.contents) await addContent(builder, content, files, host, inner);
  return {
    kernel: kernel.entry.bytes.slice(),
    initrd: builder.archive(),
    manifest: builder.manifest(recipe.name, kernel),
  };
}

async function unpack(
  packages: readonly DebianPackage[],
  files: PackageFiles,
  apt: Apt,
  host: ImageHost,
): Promise<void> {
  await apt.fetch(packages);
  host.progress.stage(`unpacking ${packages.length} packages`);
  for (const [index, row] of packages.entries()) {
    files.add(row, await apt.contents(row));
    host.progress.amount(index + 1, packages.length, 'packages');
  }
}

function kernelFile(files: PackageFiles, from: DebianPackage): PackagedFile {
  const path = [...files.paths()].find((candidate) => candidate.startsWith('boot/vmlinuz-'));
  if (path === undefined)
    throw new UserError(
      `The package ${from.name} holds no kernel (no file /boot/vmlinuz-*).`,
      'name a linux-image package',
    );
  return files.at(path)!;
}

/** Names of libraries that no unpacked package has, with the file that needs them. */
function missingLibraries(recipe: Recipe, files: PackageFiles): Map<string, string> {
  const missing = new Map<string, string>();
  for (const content of recipe.contents) {
    if (content.kind !== 'program') continue;
    for (const [name, neededBy] of programClosure(files, content.from).missing) missing.set(name, neededBy);
  }
  return missing;
}

async function addContent(
  builder: InitramfsBuilder,
  content: Content,
  files: PackageFiles,
  host: ImageHost,
  inner: InnerGuests,
): Promise<void> {
  switch (content.kind) {
    case 'directory':
    case 'symlink':
    case 'device':
      return builder.add(content);
    case 'text':
      return builder.addGenerated(content.path, host.codecs.utf8(content.text), 'recipe');
    case 'script':
      return builder.addScript(content.path, content.script, await host.scripts.read(content.script));
    case 'file':
      if (builder.addFollowed(content.from, files, content.path)) return;
      throw absent(content.package, content.from);
    case 'program':
      return addProgram(builder, content, files);
    case 'modules':
      return addModules(builder, content, files, host);
    case 'guest':
      return addGuest(builder, content, host, inner.get(content.recipe)!);
  }
}

function addProgram(builder: InitramfsBuilder, content: Content & { kind: 'program' }, files: PackageFiles): void {
  const closure = programClosure(files, content.from);
  for (const [name, neededBy] of closure.missing) {
    if (name === content.from) throw absent(content.package, name);
    throw new UserError(
      `No package that ${content.package} depends on has ${name}, which ${neededBy} needs.`,
      'choose another version of the package',
    );
  }
  for (const path of closure.paths) builder.addFollowed(path, files);
}

async function addModules(
  builder: InitramfsBuilder,
  content: Content & { kind: 'modules' },
  files: PackageFiles,
  host: ImageHost,
): Promise<void> {
  const order = await moduleLoadingOrder(files, content.names, host.codecs);
  for (const path of order) builder.addFollowed(path, files);
  builder.addGenerated(
    content.list,
    host.codecs.utf8(order.map((path) => `/${path}\n`).join('')),
    'module dependencies',
  );
}

function addGuest(
  builder: InitramfsBuilder,
  content: Content & { kind: 'guest' },
  host: ImageHost,
  guest: PreparedGuest,
): void {
  const { manifest } = guest;
  builder.addPackaged(`${content.path}/kernel`, kernelAsPackaged(guest));
  builder.addGenerated(`${content.path}/initrd`, guest.initrd, `recipe ${manifest.recipe}`);
  builder.addGenerated(
    `${content.path}/command-line`,
    host.codecs.utf8(`${guest.commandLine}\n`),
    `recipe ${manifest.recipe}`,
  );
  builder.addGuest(content.path, manifest);
}

/** The inner guest's kernel, as it was in its package. */
function kernelAsPackaged({ kernel, manifest }: GuestImage): PackagedFile {
  const { origin } = manifest.kernel;
  const row = manifest.packages.find(({ name }) => origin.kind === 'package' && name === origin.package)!;
  const entry = {
    path: origin.kind === 'generated' ? '' : origin.path,
    kind: 'file',
    mode: 0o644,
    target: '',
    bytes: kernel,
  } as const;
  return { package: { ...row, section: 'kernel', size: 0, dependsOn: [] }, entry };
}

function absent(from: string, path: string): UserError {
  return new UserError(`The package ${from} has no file /${path}.`, 'choose another version of the package');
}
