// SPDX-License-Identifier: Apache-2.0
import { nodeHost } from '../platform/node/host.ts';
import { main } from './main.ts';

const host = nodeHost();
host.exit(await main(host.arguments, host));
