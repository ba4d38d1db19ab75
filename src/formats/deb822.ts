// SPDX-License-Identifier: Apache-2.0
import { UserError } from '../base/errors.ts';

/** One paragraph of a Debian control file: field name as written → value, continuation lines joined by newlines. */
export type Paragraph = ReadonlyMap<string, string>;

/** The paragraphs of a control file in the format of deb822(5). Lines that are no field are an error. */
export function readDeb822(text: string): Paragraph[] {
  return text
    .split(/\n\s*\n/)
    .filter((block) => block.trim() !== '')
    .map(paragraph);
}

function paragraph(block: string): Paragraph {
  const fields = new Map<string, string>();
  let last = '';
  for (const line of block.split('\n')) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    if (/^[ \t]/.test(line) && last !== '') {
      fields.set(last, `${fields.get(last)}\n${line.slice(1)}`);
      continue;
    }
    const colon = line.indexOf(':');
    if (colon < 1) throw malformed(`no field in the line ${JSON.stringify(line)}`);
    last = line.slice(0, colon);
    fields.set(last, line.slice(colon + 1).trim());
  }
  return fields;
}

/** The names in a relationship field such as Depends; of alternatives (`a | b`) the first. Versions are left out. */
export function dependencyNames(field: string | undefined): string[] {
  return (field ?? '')
    .split(',')
    .map(
      (relation) =>
        relation
          .split('|')[0]!
          .trim()
          .split(/[\s(:]/)[0]!,
    )
    .filter((name) => name !== '');
}

function malformed(what: string): UserError {
  return new UserError(`Malformed control file: ${what}.`, 'is the file complete, and of this format?');
}
