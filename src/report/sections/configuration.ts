/** How the runs were made: what differs between them, what they share, and the formula behind the FLOPs. */
import { plain } from '../format.ts';
import { html, type Markup } from '../markup.ts';
import { runName, type Section, type StyledRun, section } from './section.ts';

/** Nothing where no run has a configuration or a result. */
export function configuration(runs: StyledRun[]): Section | undefined {
  const facts = runs.map(factsOf);
  const keys = [...new Set(facts.flatMap(fact => [...fact.keys()]))];
  if (keys.length === 0) return undefined;
  const differs = (key: string): boolean => facts.some(fact => fact.get(key) !== facts[0].get(key));
  const [different, common] = [keys.filter(differs), keys.filter(key => !differs(key))];
  return section(
    'configuration',
    'Configuration and environment',
    [],
    [
      different.length > 0 && differences(different, runs, facts),
      common.length > 0 &&
        html`${runs.length > 1 && html`<h3>The same in all runs</h3>`}<dl class="facts">${common.map(
          key => html`<div><dt>${key}</dt><dd>${facts[0].get(key)}</dd></div>`,
        )}</dl>`,
    ],
  );
}

function differences(keys: string[], runs: StyledRun[], facts: Map<string, string>[]): Markup {
  return html`<h3>What differs</h3><div class="scroll" tabindex="0" role="region" aria-label="Settings that differ"><table class="settings"><thead><tr><td></td>${runs.map(
    run => html`<th scope="col">${runName(run)}</th>`,
  )}</tr></thead><tbody>${keys.map(
    key => html`<tr><th scope="row">${key}</th>${facts.map(fact => html`<td>${fact.get(key) ?? '\u2013'}</td>`)}</tr>`,
  )}</tbody></table></div>`;
}

/** A run's settings, nested ones with dots, and what its result says of where it ran. */
function factsOf(run: StyledRun): Map<string, string> {
  const facts = new Map(flatten(run.config));
  const result = run.result;
  if (!result) return facts;
  const said: [string, string][] = [
    ['arch', result.arch],
    ['dataset', result.dataset],
    ['mode', result.mode],
    ['seed', Number.isFinite(result.seed) ? plain(result.seed) : ''],
    ['adapter in use', result.adapter],
  ];
  for (const [key, value] of said) if (value !== '' && !facts.has(key)) facts.set(key, value);
  return facts;
}

function flatten(value: Record<string, unknown>, prefix = ''): [string, string][] {
  return Object.entries(value).flatMap(([key, entry]): [string, string][] => {
    if (typeof entry === 'object' && entry !== null && !Array.isArray(entry))
      return flatten(entry as Record<string, unknown>, `${prefix}${key}.`);
    return entry === undefined || entry === null
      ? []
      : [[prefix + key, typeof entry === 'string' ? entry : JSON.stringify(entry)]];
  });
}

/** The formulas as the runs' results give them, each once. Nothing where no run has one. */
export function formulas(runs: StyledRun[]): Section | undefined {
  const texts = [...new Set(runs.map(run => run.result?.flops.formula ?? '').filter(formula => formula !== ''))];
  if (texts.length === 0) return undefined;
  const lead = html`Shares in the table compare the count at each layer's own density with the same network without a mask.`;
  return section(
    'flops',
    'How FLOPs are counted',
    [lead],
    texts.map(formula => html`<pre>${formula}</pre>`),
  );
}
