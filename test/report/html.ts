/** Reading a page back in tests: parsed as a browser would, with every parse error, and its tags checked for balance. */
import { type DefaultTreeAdapterTypes, parse } from 'parse5';

type Element = DefaultTreeAdapterTypes.Element;
type Parent = DefaultTreeAdapterTypes.ParentNode;

export interface ParsedPage {
  elements: Element[];
  errors: string[];
}

export function parsePage(source: string): ParsedPage {
  const errors: string[] = [];
  const document = parse(source, {
    onParseError: error => errors.push(`${error.code}: ${source.slice(error.startOffset, error.endOffset + 60)}`),
  });
  return { elements: descendants(document), errors: [...errors, ...unbalanced(source)] };
}

function descendants(parent: Parent): Element[] {
  return parent.childNodes.flatMap(node => ('tagName' in node ? [node, ...descendants(node)] : []));
}

export const attribute = (element: Element, name: string): string | undefined =>
  element.attrs.find(({ name: own }) => own === name)?.value;

export const hasClass = (element: Element, name: string): boolean =>
  (attribute(element, 'class') ?? '').split(' ').includes(name);

/** All text below a node, as written. */
export function textOf(parent: Parent): string {
  return parent.childNodes.map(node => ('value' in node ? node.value : 'tagName' in node ? textOf(node) : '')).join('');
}

/** The cells' texts of a table, row by row. */
export function tableRows(table: Element): string[][] {
  return descendants(table)
    .filter(element => element.tagName === 'tr')
    .map(row =>
      descendants(row)
        .filter(cell => cell.tagName === 'td' || cell.tagName === 'th')
        .map(textOf),
    );
}

/** Tags that are closed in the wrong order or never; HTML's parser repairs these in silence. */
function unbalanced(source: string): string[] {
  const open: string[] = [];
  for (const [, slash, name, selfClosed] of source
    .replace(/<style>[\s\S]*?<\/style>/g, '')
    .matchAll(/<(\/?)([a-z][\w]*)[^>]*?(\/?)>/gi)) {
    if (selfClosed) continue;
    if (!slash) open.push(name);
    else if (open.pop() !== name) return [`</${name}> closes another element`];
  }
  return open.map(name => `<${name}> is never closed`);
}
