// SPDX-License-Identifier: Apache-2.0
import { enableCompileCache } from 'node:module';

// Half a second of each start would go into stripping types and compiling: before anything else is loaded, Node is
// told to keep what it made of our files.
enableCompileCache();
const [{ nodeHost }, { main }] = await Promise.all([import('../platform/node/host.ts'), import('./main.ts')]);

const host = nodeHost();
host.exit(await main(host.arguments, host));
