// SPDX-License-Identifier: Apache-2.0
'use strict';

// Starts the command line from wherever this copy of Turtles is: a clone runs its TypeScript sources under the Node
// that the lockfile pins; an installed package runs its compiled files under the Node at hand.
// CommonJS in old syntax, because a Node that is too old has to get as far as saying so.

var childProcess = require('child_process');
var fs = require('fs');
var os = require('os');
var path = require('path');
var url = require('url');

var root = path.dirname(__dirname);
var source = path.join(root, 'src', 'cli', 'turtles.ts');
var compiled = path.join(root, 'dist', 'cli', 'turtles.js');

/** `before`: arguments put in front of the user's own. */
exports.launch = function launch(before) {
  var args = before.concat(process.argv.slice(2));
  if (fs.existsSync(source)) launchClone(args);
  else if (fs.existsSync(compiled)) launchPackage(args);
  else fail('this copy has neither src/cli/turtles.ts nor dist/cli/turtles.js; clone or install it again');
};

function launchClone(args) {
  refuseOlderThan([20, 0], 'to install its dependencies');
  var toolchain = require('../tools/toolchain.cjs');
  if (!toolchain.isInstalled(root)) install();
  var node = toolchain.nodeForSources(root);
  if (node === null)
    fail('no pinned Node for this platform, and Node ' + process.versions.node + ' is older than 24.12');
  run(node, [source].concat(args));
}

function install() {
  var done = childProcess.spawnSync(process.execPath, [path.join(root, 'tools', 'install.mjs')], { stdio: 'inherit' });
  if (done.status !== 0) process.exit(done.status === null ? 1 : done.status);
}

function launchPackage(args) {
  refuseOlderThan([24, 12], 'to run');
  process.argv.splice(1, process.argv.length - 1, compiled, ...args);
  import(url.pathToFileURL(compiled).href);
}

/** Goes on in another Node; its exit status is ours, 128 + n if signal n ended it. */
function run(node, args) {
  var child = childProcess.spawn(node, args, { stdio: 'inherit' });
  child.on('error', function (error) {
    fail('cannot start ' + node + ': ' + error.message);
  });
  child.on('exit', function (status, signal) {
    process.exit(status === null ? 128 + os.constants.signals[signal] : status);
  });
  ['SIGTERM', 'SIGHUP', 'SIGINT'].forEach(function (signal) {
    process.on(signal, function () {
      // A terminal sends Ctrl-C to parent and child alike.
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  });
}

function refuseOlderThan(least, purpose) {
  var have = process.versions.node.split('.').map(Number);
  if (have[0] > least[0] || (have[0] === least[0] && have[1] >= least[1])) return;
  fail('needs Node ' + least.join('.') + ' or newer ' + purpose + '; this is Node ' + process.versions.node);
}

function fail(sentence) {
  process.stderr.write('turtles: ' + sentence + '\n');
  process.exit(1);
}
