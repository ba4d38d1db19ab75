// SPDX-License-Identifier: Apache-2.0
import { keepCompiledSources } from '../platform/node/compile-cache.ts';

keepCompiledSources();
const [{ nodeHost }, { main }] = await Promise.all([import('../platform/node/host.ts'), import('./main.ts')]);

const host = nodeHost();
host.exit(await main(host.arguments, host));
