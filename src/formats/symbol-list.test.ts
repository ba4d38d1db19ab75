// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UserError } from '../base/errors.ts';
import { parseSymbolList } from './symbol-list.ts';

describe('lists of symbols', () => {
  it('nm, System.map and /proc/kallsyms', () => {
    const text =
      '0000000000100020 T start\n                 U missing\n\nffffffffc0a41230 t vmx_vcpu_reset\t[kvm_intel]\r\n00001000 b buffer\n';
    assert.deepEqual(parseSymbolList(text, 'm'), [
      { value: 0x100020n, kind: 'T', name: 'start', module: undefined },
      { value: 0xffffffffc0a41230n, kind: 't', name: 'vmx_vcpu_reset', module: 'kvm_intel' },
      { value: 0x1000n, kind: 'b', name: 'buffer', module: undefined },
    ]);
  });
  for (const [what, text, message] of [
    ['other text', 'ffff T a\nhello\n', /line 2/],
    ['nothing', '\n', /lists no symbols/],
    ['hidden addresses', '0000000000000000 T a\n', /0 for every address/],
    ['too many digits', '11111111111111111 T a\n', /line 1/],
  ] as const)
    it(`${what} is refused`, () =>
      assert.throws(
        () => parseSymbolList(text, 'm'),
        (error) => error instanceof UserError && message.test(error.message),
      ));
});
