/** Writing HTML and SVG: a template tag that escapes everything put into it, so that no label or path can break a page. */

/** A piece of finished HTML or SVG, which `html` puts in unescaped. */
export class Markup {
  readonly source: string;

  constructor(source: string) {
    this.source = source;
  }

  toString(): string {
    return this.source;
  }
}

/** What a template takes: text and numbers are escaped, lists are joined, `undefined` and `false` are nothing. */
export type Part = Markup | string | number | false | undefined | readonly Part[];

/** html`<p title="${a}">${b}</p>`: values may stand in text and inside double quotes. */
export function html(strings: TemplateStringsArray, ...values: Part[]): Markup {
  return new Markup(strings.reduce((source, string, i) => source + write(values[i - 1]) + string));
}

function write(part: Part): string {
  if (part instanceof Markup) return part.source;
  if (part === undefined || part === false) return '';
  if (typeof part === 'object') return part.map(write).join('');
  return escapeText(String(part));
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Escapes text for HTML; characters that HTML forbids (controls, lone surrogates) become U+FFFD. */
function escapeText(text: string): string {
  return text
    .replace(/[&<>"']/g, character => entities[character])
    .replace(/(?![\n\t])[\p{Cc}\p{Cs}\p{Noncharacter_Code_Point}]/gu, '\uFFFD');
}
