// SPDX-License-Identifier: Apache-2.0
import { Apt } from './apt.ts';
import { buildGuest, resolvePackages } from './build.ts';
import type { GuestImage, InnerGuests, PreparedGuest, ResolvedPackages } from './build.ts';
import type { Manifest } from './manifest.ts';
import type { ImageHost } from './ports.ts';
import { commandLineText } from './recipe.ts';
import type { Recipe } from './recipe.ts';

/** Counted up when the builder makes something else of the same recipe, so that old entries are not used. */
const BUILDER_VERSION = 1;

export interface PrepareOptions {
  /** Asks apt again and takes the packages of today, even when the cache has the guest. */
  readonly refresh?: boolean;
}

/**
 * The guest of a recipe, from the cache, or built into it. With the guest in the cache no other program is run and
 * nothing is fetched. Throws UserError when a package cannot be had or the disk is full.
 */
export async function prepareGuest(
  recipe: Recipe,
  host: ImageHost,
  options: PrepareOptions = {},
): Promise<PreparedGuest> {
  const cached = options.refresh === true ? undefined : await fromCache(recipe, host);
  if (cached !== undefined) return cached;
  const waiting = () => host.progress.notice('another turtles is building guests in the same cache: waiting for it');
  try {
    return await host.cache.exclusively(waiting, () => inCacheOrBuilt(recipe, host, new Apt(host), options));
  } finally {
    host.progress.done();
  }
}

async function inCacheOrBuilt(
  recipe: Recipe,
  host: ImageHost,
  apt: Apt,
  options: PrepareOptions,
): Promise<PreparedGuest> {
  const cached = options.refresh === true ? undefined : await fromCache(recipe, host);
  if (cached !== undefined) return cached;
  await apt.update();
  const packages = await resolvePackages(recipe, apt);
  const inner = new Map<Recipe, PreparedGuest>();
  for (const guest of innerRecipes(recipe)) inner.set(guest, await inCacheOrBuilt(guest, host, apt, options));
  const recipeKey = await keyOfRecipe(recipe, host);
  const entry = keyOfImage(recipeKey, packages, inner, host);
  if ((await readEntry(entry, host)) === undefined) {
    const image = await buildGuest(recipe, packages, apt, host, inner);
    await host.cache.writeFolder(entry, entryFiles(image, host));
  }
  await host.cache.write(pointerName(recipeKey), host.codecs.utf8(entry));
  return (await fromCache(recipe, host))!;
}

/** A recipe's pointer names the image entry that it came to when it was last built. */
async function fromCache(recipe: Recipe, host: ImageHost): Promise<PreparedGuest | undefined> {
  const pointer = await host.cache.read(pointerName(await keyOfRecipe(recipe, host)));
  if (pointer === undefined) return undefined;
  const image = await readEntry(host.codecs.text(pointer), host);
  return image && { ...image, commandLine: commandLineText(recipe.commandLine) };
}

function pointerName(recipeKey: string): string {
  return `recipes/${recipeKey}`;
}

/** Everything that says what the guest is, scripts included; not the versions of packages. */
async function keyOfRecipe(recipe: Recipe, host: ImageHost): Promise<string> {
  const scripts: [string, string][] = [];
  for (const name of scriptsOf(recipe)) scripts.push([name, host.codecs.sha256(await host.scripts.read(name))]);
  return host.codecs.sha256(host.codecs.utf8(JSON.stringify([BUILDER_VERSION, recipe, scripts])));
}

function scriptsOf(recipe: Recipe): string[] {
  const own = recipe.contents.flatMap((content) => (content.kind === 'script' ? [content.script] : []));
  return [...own, ...innerRecipes(recipe).flatMap(scriptsOf)];
}

function innerRecipes(recipe: Recipe): Recipe[] {
  return recipe.contents.flatMap((content) => (content.kind === 'guest' ? [content.recipe] : []));
}

/** Names what comes out: the recipe, the packages it takes, and the guests inside. */
function keyOfImage(recipeKey: string, packages: ResolvedPackages, inner: InnerGuests, host: ImageHost): string {
  const all = [packages.kernel, ...packages.named, ...packages.libraries, ...packages.others];
  const versions = all.map(({ name, version, sha256 }) => [name, version, sha256]);
  const guests = [...inner.values()].map(({ kernel, initrd }) => [
    host.codecs.sha256(kernel),
    host.codecs.sha256(initrd),
  ]);
  return `images/${host.codecs.sha256(host.codecs.utf8(JSON.stringify([recipeKey, versions, guests])))}`;
}

const CHECKSUMS = 'checksums.json';

function entryFiles({ kernel, initrd, manifest }: GuestImage, { codecs }: ImageHost): Map<string, Uint8Array> {
  const files = new Map([
    ['kernel', kernel],
    ['initrd', initrd],
    ['manifest.json', codecs.utf8(`${JSON.stringify(manifest, undefined, 2)}\n`)],
  ]);
  const checksums = Object.fromEntries([...files].map(([name, bytes]) => [name, codecs.sha256(bytes)]));
  return files.set(CHECKSUMS, codecs.utf8(`${JSON.stringify(checksums, undefined, 2)}\n`));
}

/** An entry whose files are all there and have the checksums it was written with; otherwise it is removed. */
async function readEntry(entry: string, { cache, codecs, progress }: ImageHost): Promise<GuestImage | undefined> {
  const sums = await cache.read(`${entry}/${CHECKSUMS}`);
  if (sums === undefined) return undefined;
  const expected = checksumsOf(codecs.text(sums));
  const read = async (name: string) => {
    const bytes = await cache.read(`${entry}/${name}`);
    return bytes !== undefined && codecs.sha256(bytes) === expected[name] ? bytes : undefined;
  };
  const [kernel, initrd, manifest] = [await read('kernel'), await read('initrd'), await read('manifest.json')];
  if (kernel && initrd && manifest) return { kernel, initrd, manifest: JSON.parse(codecs.text(manifest)) as Manifest };
  progress.notice(`${cache.path(entry)} has a wrong checksum: building it again`);
  await cache.remove(entry);
  return undefined;
}

/** What cannot be parsed agrees with no file. */
function checksumsOf(text: string): Record<string, string | undefined> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, string>) : {};
  } catch {
    return {};
  }
}
