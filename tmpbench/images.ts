import { prepareGuest } from '../src/images/prepare.ts';
import { plainGuest, hypervisorGuest, innerGuest, BATCH_WORD, MARKERS } from '../src/images/recipes.ts';
import { nodeImageHost } from '../src/platform/node/image-host.ts';
import { writeFileSync } from 'node:fs';
const host = nodeImageHost();
const g = await prepareGuest(plainGuest(), host);
writeFileSync('/tmp/vmlinuz', g.kernel); writeFileSync('/tmp/plain.img', g.initrd); console.log(g.commandLine, BATCH_WORD, MARKERS);
const h = await prepareGuest(hypervisorGuest(), host);
writeFileSync('/tmp/l1.img', h.initrd); console.log(h.commandLine, h.kernel.length, h.initrd.length);
