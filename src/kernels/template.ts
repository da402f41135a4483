/**
 * The small template language of the `.wgsl` files, for what WGSL's own `override` cannot do: register tiles written out in full
 * (private arrays with a running index spill), and code that exists only in some variants.
 *
 *   //% for i in A..B     repeats the lines up to its `end` for i = A, ..., B-1
 *   //% if EXPR           keeps the lines up to `else` / `end` where EXPR is not zero
 *   //% else
 *   //% end
 *   $(EXPR)               the value of an expression, anywhere in a line
 *
 * Expressions hold integers, names, `LIST[i]`, parentheses and  + - * / % == != < <= > >= && ||  (`/` rounds down). A name whose value
 * is text is inserted as it is.
 */

export type TemplateValue = number | string | boolean | readonly number[];
export type TemplateValues = Readonly<Record<string, TemplateValue>>;

const PRECEDENCE = [['||'], ['&&'], ['==', '!='], ['<', '<=', '>', '>='], ['+', '-'], ['*', '/', '%']];

/** Evaluates an expression by precedence climbing. */
export function evaluate(source: string, values: TemplateValues): TemplateValue {
  const tokens = source.match(/\d+|\w+|==|!=|<=|>=|&&|\|\||\S/g) ?? [];
  let at = 0;
  const fail = (what: string): never => {
    throw new Error(`template expression '${source}': ${what}`);
  };
  const number = (v: TemplateValue): number =>
    typeof v === 'object' || typeof v === 'string' ? fail(`'${v}' is no number`) : Number(v);

  const atom = (): TemplateValue => {
    const token = tokens[at++] ?? fail('ends too early');
    if (token === '-') return -number(atom());
    if (token === '(') {
      const inner = binary(0);
      if (tokens[at++] !== ')') fail("')' is missing");
      return inner;
    }
    if (/^\d/.test(token)) return Number(token);
    if (!/^\w/.test(token)) fail(`'${token}' is not understood`);
    const value = values[token] ?? fail(`'${token}' is not defined`);
    if (tokens[at] !== '[') return value;
    at++;
    const index = number(binary(0));
    if (tokens[at++] !== ']') fail("']' is missing");
    return (value as readonly number[])[index] ?? fail(`'${token}' has no element ${index}`);
  };

  const binary = (level: number): TemplateValue => {
    if (level === PRECEDENCE.length) return atom();
    let left = binary(level + 1);
    while (PRECEDENCE[level].includes(tokens[at] ?? '')) {
      const operator = tokens[at++]!;
      left = apply(operator, number(left), number(binary(level + 1)));
    }
    return left;
  };

  const result = binary(0);
  return at < tokens.length ? fail(`'${tokens[at]}' is not understood`) : result;
}

function apply(operator: string, a: number, b: number): number {
  switch (operator) {
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    case '/':
      return Math.floor(a / b);
    case '%':
      return ((a % b) + b) % b;
    case '==':
      return Number(a === b);
    case '!=':
      return Number(a !== b);
    case '<':
      return Number(a < b);
    case '<=':
      return Number(a <= b);
    case '>':
      return Number(a > b);
    case '>=':
      return Number(a >= b);
    case '&&':
      return Number(a !== 0 && b !== 0);
    default:
      return Number(a !== 0 || b !== 0);
  }
}

/** Replaces each `$(EXPR)` of a line, parentheses balanced. */
function insert(line: string, values: TemplateValues): string {
  let out = '';
  let at = 0;
  for (let start = line.indexOf('$('); start >= 0; start = line.indexOf('$(', at)) {
    let end = start + 2;
    for (let depth = 1; depth > 0 && end < line.length; end++) depth += line[end] === '(' ? 1 : line[end] === ')' ? -1 : 0;
    if (line[end - 1] !== ')') throw new Error(`'$(' is not closed`);
    out += line.slice(at, start) + String(evaluate(line.slice(start + 2, end - 1), values));
    at = end;
  }
  return out + line.slice(at);
}

/** Expands a kernel's text. Errors name the line. */
export function expand(text: string, values: TemplateValues, name = 'template'): string {
  const lines = text.split('\n');
  const out: string[] = [];

  /** The line of the `end` (or `else`) that closes the block opened before `from`. */
  const closing = (from: number, orElse: boolean): number => {
    let depth = 0;
    for (let i = from; i < lines.length; i++) {
      const word = /^\s*\/\/%\s*(\w+)/.exec(lines[i])?.[1];
      if (word === 'for' || word === 'if') depth++;
      else if (word === 'end' && depth-- === 0) return i;
      else if (word === 'else' && orElse && depth === 0) return i;
    }
    throw new Error(`${name}.wgsl: a block opened in line ${from} has no end`);
  };

  const run = (from: number, to: number, scope: TemplateValues): void => {
    for (let i = from; i < to; i++) {
      const line = lines[i];
      const directive = /^\s*\/\/%\s*(\w+)\s*(.*?)\s*$/.exec(line);
      try {
        if (!directive) {
          out.push(line.includes('$(') ? insert(line, scope) : line);
        } else if (directive[1] === 'for') {
          const [, variable, a, b] = /^(\w+)\s+in\s+(.+?)\.\.(.+)$/.exec(directive[2]) ?? [];
          const end = closing(i + 1, false);
          const last = Number(evaluate(b, scope));
          for (let v = Number(evaluate(a, scope)); v < last; v++) run(i + 1, end, { ...scope, [variable]: v });
          i = end;
        } else if (directive[1] === 'if') {
          const middle = closing(i + 1, true);
          const end = lines[middle].includes('else') ? closing(middle + 1, false) : middle;
          if (Number(evaluate(directive[2], scope)) !== 0) run(i + 1, middle, scope);
          else if (middle !== end) run(middle + 1, end, scope);
          i = end;
        } else throw new Error(`unknown directive '${directive[1]}'`);
      } catch (error) {
        const message = (error as Error).message;
        throw /^\w+\.wgsl/.test(message) ? error : new Error(`${name}.wgsl:${i + 1}: ${message}`);
      }
    }
  };

  run(0, lines.length, values);
  return out.join('\n');
}
