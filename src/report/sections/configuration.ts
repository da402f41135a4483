/** How the runs were made: what differs between them, what they share, and the formula behind the FLOPs. */
import { trainFlags } from '../../train/config.ts';
import { type Flag, type FlagTable, flagName } from '../../train/flags.ts';
import { stageFlags } from '../../train/robust-bird/settings.ts';
import { plain } from '../format.ts';
import { html, type Markup } from '../markup.ts';
import { runName, type Section, type StyledRun, section } from './section.ts';

/** A setting or circumstance of a run, by its name; settings of `sparrow train` and of `sparrow robust-bird` go by their flags. */
type Facts = Map<string, { text: string; usual: boolean }>;

/** Nothing where no run has a configuration or a result. */
export function configuration(runs: StyledRun[]): Section | undefined {
  const facts = runs.map(factsOf);
  const names = [...new Set(facts.flatMap(fact => [...fact.keys()]))];
  if (names.length === 0) return undefined;
  const differs = (name: string): boolean => facts.some(fact => fact.get(name)?.text !== facts[0].get(name)?.text);
  const different = names.filter(differs);
  const common = names.filter(name => !differs(name));
  const [usual, chosen] = [true, false].map(is => common.filter(name => facts[0].get(name)!.usual === is));
  return section(
    'configuration',
    'Configuration and environment',
    [],
    [
      different.length > 0 && differences(different, runs, facts),
      chosen.length > 0 && html`${runs.length > 1 && html`<h3>The same in all runs</h3>`}${list(chosen, facts[0])}`,
      usual.length > 0 && html`<details><summary>Flags at their defaults</summary>${list(usual, facts[0])}</details>`,
    ],
  );
}

function list(names: string[], facts: Facts): Markup {
  return html`<dl class="facts">${names.map(name => html`<div><dt>${name}</dt><dd>${facts.get(name)!.text}</dd></div>`)}</dl>`;
}

function differences(names: string[], runs: StyledRun[], facts: Facts[]): Markup {
  return html`<h3>What differs</h3><div class="scroll" tabindex="0" role="region" aria-label="Settings that differ"><table class="settings"><thead><tr><td></td>${runs.map(
    run => html`<th scope="col">${runName(run)}</th>`,
  )}</tr></thead><tbody>${names.map(
    name => html`<tr><th scope="row">${name}</th>${facts.map(fact => html`<td>${fact.get(name)?.text ?? '\u2013'}</td>`)}</tr>`,
  )}</tbody></table></div>`;
}

/** A run's settings, and what its result says of where it ran. */
function factsOf({ config, result }: StyledRun): Facts {
  const flags: FlagTable = config.pruning === undefined ? trainFlags : { ...trainFlags, ...stageFlags };
  const facts: Facts = new Map(Object.entries(config).flatMap(([key, value]) => settingOf(key, value, flags)));
  if (!result) return facts;
  const said: [string, string][] = [
    ['--arch', result.arch],
    ['--dataset', result.dataset],
    ['--mode', result.mode],
    ['--seed', Number.isFinite(result.seed) ? plain(result.seed) : ''],
    ['stage 1, pruning', config.pruning === undefined ? (result.stages ?? '') : ''],
    ['adapter in use', result.adapter],
  ];
  for (const [name, text] of said) if (text !== '' && !facts.has(name)) facts.set(name, { text, usual: false });
  return facts;
}

/** An entry of config.json: a setting by its flag, anything else by its name. Nothing for what was not set, and for the file's version. */
function settingOf(key: string, value: unknown, flags: FlagTable): [string, { text: string; usual: boolean }][] {
  if (value === undefined || value === null || key === 'version') return [];
  const flag = Object.hasOwn(flags, key) ? flags[key] : undefined;
  if (!flag) return [[key, { text: write(value), usual: false }]];
  return [[flagName(key, flag), { text: valueText(value, flag), usual: JSON.stringify(value) === JSON.stringify(flag.default) }]];
}

/** A setting's value as it is given on the command line. */
export function valueText(value: unknown, flag: Flag<unknown>): string {
  if (value === undefined) return 'not given';
  return flag.placeholder ? write(value) : value === flag.given ? 'given' : 'not given';
}

/** As it is typed: a list with commas. */
function write(value: unknown): string {
  if (Array.isArray(value)) return value.map(write).join(',');
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** The formulas as the runs' results give them, each once. Nothing where no run has one. */
export function formulas(runs: StyledRun[]): Section | undefined {
  const texts = [...new Set(runs.map(run => run.result?.flops.formula ?? '').filter(formula => formula !== ''))];
  if (texts.length === 0) return undefined;
  const lead = html`Shares in the table compare the count at each layer's own density with that of the dense network.`;
  return section(
    'flops',
    'How FLOPs are counted',
    [lead],
    texts.map(formula => html`<pre>${formula}</pre>`),
  );
}
