// SPDX-License-Identifier: Apache-2.0

import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from 'iced-x86';

import type { CaseInput } from './case.ts';

/** The case's instruction as text. */
export function disassemble(test: CaseInput): string {
  const decoder = new Decoder(64, test.code, DecoderOptions.None);
  decoder.ip = test.state.rip;
  const formatter = new Formatter(FormatterSyntax.Intel);
  const instruction = decoder.decode();
  const text = formatter.format(instruction);
  for (const resource of [instruction, formatter, decoder]) resource.free();
  return text;
}
