// SPDX-License-Identifier: Apache-2.0

// TypeScript 7 has no stable parser to ask, and the forms of an import are few.

/** Comments go, strings and templates stay: whichever starts first wins. */
const COMMENT_OR_STRING = /\/\/[^\n]*|\/\*[^]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;

const FORMS = [
  /(?:^|[;}])\s*(?:import|export)\b[^'"`;]*?\bfrom\s*(['"])(?<specifier>[^'"\n]+)\1/gm,
  /(?:^|[;}])\s*import\s*(['"])(?<specifier>[^'"\n]+)\1/gm,
  // Of values and of types; an argument that is no plain string is told as it stands, and so never allowed.
  /\bimport\s*\(\s*(?<specifier>[^)]*?)\s*\)/g,
  /\brequire\s*\(\s*(?<specifier>[^)]*?)\s*\)/g,
];

/** What a source file imports, in no particular order: the text between the quotes. */
export function importSpecifiers(source: string): string[] {
  const code = source.replace(COMMENT_OR_STRING, (text) => (text.startsWith('/') ? ' ' : text));
  const found = FORMS.flatMap((form) => [...code.matchAll(form)]);
  return found.map((match) => (match.groups?.['specifier'] ?? '').replace(/^(['"])(.*)\1$/, '$2'));
}
