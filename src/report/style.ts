/** The page's style sheet: one column on a phone, light and dark, and black on white when printed. */
import { runColours } from './figure.ts';

/** The runs' colours on a dark ground, in the order of `runColours`: the same hues, lighter. */
const darkRunColours = ['#56b4e9', '#f0803c', '#2fc79a', '#dd94bd', '#ffffff', '#f0b429', '#9bd3f5'];

const variables = (colours: string[]): string => colours.map((colour, i) => `--run-${i}: ${colour};`).join(' ');

const light = `--paper: #ffffff; --raised: #f5f7f9; --ink: #1b2127; --muted: #56616c; --rule: #d8dee4; --shade: #c3ccd4; --right: #00684c; --wrong: #b04300; ${variables(runColours)}`;
const dark = `--paper: #14181d; --raised: #1d232a; --ink: #e8ecf0; --muted: #a3adb8; --rule: #343d47; --shade: #4a5561; --right: #4fd0a6; --wrong: #ff9d63; ${variables(darkRunColours)}`;

export const style = `
:root { color-scheme: light dark; ${light} }
@media screen and (prefers-color-scheme: dark) {
  :root { ${dark} }
  img.mask { filter: invert(1) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main, header, footer { max-width: 1180px; margin: 0 auto; padding: 0 16px; overflow-wrap: anywhere; }
header { padding-top: 40px; }
h1 { margin: 0; font-size: clamp(1.6rem, 1.2rem + 2vw, 2.3rem); line-height: 1.2; letter-spacing: -0.015em; text-wrap: balance; }
h2 { margin: 0 0 6px; padding-top: 20px; border-top: 1px solid var(--rule); font-size: 1.35rem; line-height: 1.3; letter-spacing: -0.01em; }
h3 { margin: 24px 0 10px; font-size: 1rem; }
section { margin-top: 44px; }
.kind { margin: 0 0 6px; color: var(--muted); font-size: .8rem; font-weight: 600; letter-spacing: .08em; text-transform: uppercase; }
.facts-line { margin: 10px 0 0; color: var(--muted); }
.notice { margin: 14px 0 0; padding: 8px 12px; max-width: 60em; border-left: 4px solid var(--wrong); background: var(--raised); }
nav ul { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 18px 0 0; padding: 0; list-style: none; font-size: .9rem; }
nav a { text-underline-offset: 3px; }
:focus-visible { outline: 2px solid var(--run-0); outline-offset: 2px; }
.lead { margin: 0 0 18px; max-width: 46em; color: var(--muted); text-wrap: pretty; }
.note { margin: 0 0 12px; color: var(--muted); font-size: .9rem; }
footer { margin-top: 56px; padding-bottom: 32px; color: var(--muted); font-size: .85rem; }
a { color: inherit; }
img { image-rendering: pixelated; }
.scroll { overflow-x: auto; max-width: 100%; background: linear-gradient(to left, var(--paper) 30%, transparent) right / 40px calc(100% + 2px) no-repeat local, linear-gradient(to left, var(--shade), transparent) right / 16px 100% no-repeat scroll; }
.scroll :is(th[scope="row"], thead :is(td, th):first-child, tfoot th:first-child) { position: sticky; left: 0; background: var(--paper); }

table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 5px 0 5px 14px; text-align: right; vertical-align: top; }
th:first-child, td:first-child { padding-left: 0; }
th { font-weight: 400; }
thead th { font-weight: 600; line-height: 1.3; vertical-align: bottom; }
tbody th[scope="row"] { text-align: left; }
.results, .layers { width: 100%; font-size: .95rem; }
.results thead td { width: 9.5rem; }
thead th { max-width: 11rem; hyphens: auto; overflow-wrap: break-word; }
.results td, .layers td { white-space: nowrap; }
.results td small { white-space: normal; }
.results tbody tr:not(.group) > * { border-top: 1px solid var(--rule); }
.results .group th { padding-top: 18px; text-align: left; font-size: .8rem; font-weight: 600; color: var(--muted); }
.layers { font-size: .88rem; }
.layers th:first-child { text-align: left; }
.layers tbody tr > *, .layers tfoot tr > * { border-top: 1px solid var(--rule); }
.layers tfoot { font-weight: 600; }
.layers td, .layers tbody th { padding-top: 3px; padding-bottom: 3px; }
.layers small { display: inline-block; min-width: 4.8em; margin-left: .4em; color: var(--muted); font-weight: 400; }
.layers small + small { display: block; margin: -2px 0 0; }
.results small { display: block; color: var(--muted); font-size: .8rem; line-height: 1.3; }
.values, .settings { font-size: .85rem; }
.values td, .values th, .settings td, .settings th { border-bottom: 1px solid var(--rule); white-space: nowrap; }
.settings td { white-space: normal; min-width: 60px; max-width: 260px; overflow-wrap: anywhere; }
.pair { display: grid; gap: 28px 48px; align-items: start; }
@media (min-width: 1000px) { .pair:has(.figure) { grid-template-columns: minmax(0, 1.35fr) minmax(0, 1fr); } }

.mark { width: 1em; height: 1em; margin-right: .35em; vertical-align: -.1em; overflow: visible; }
.results thead .mark { display: block; margin: 0 0 4px auto; }

.glossary { margin: 26px 0 0; display: grid; grid-template-columns: max-content 1fr; gap: 5px 16px; max-width: 480px; font-size: .88rem; line-height: 1.45; }
.glossary dt { font-weight: 600; }
.glossary dd { margin: 0; color: var(--muted); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); gap: 32px 40px; align-items: start; }
.figure { display: block; width: 100%; max-width: 480px; height: auto; overflow: visible; font-variant-numeric: tabular-nums; }
@media (min-width: 1000px) { .figures:has(> :nth-child(4):last-child) { grid-template-columns: repeat(2, minmax(0, 1fr)); } }

details { margin-top: 14px; }
summary { cursor: pointer; }
details > .figures, details > .facts { margin-top: 14px; }
details .scroll { margin-top: 8px; max-height: 420px; overflow-y: auto; }

ul.masks, ul.samples { margin: 0; padding: 0; list-style: none; display: grid; }
ul.masks { grid-template-columns: repeat(auto-fill, minmax(98px, 1fr)); gap: 18px 16px; }
ul.masks img { display: block; width: 100%; aspect-ratio: 1; }
img.mask { border: 1px solid #d8dee4; }
ul.masks .name { display: block; margin-top: 5px; font-size: .78rem; line-height: 1.3; font-weight: 600; }
ul.masks .detail { display: block; color: var(--muted); font-size: .76rem; line-height: 1.35; }
.scale { display: flex; align-items: center; gap: 10px; margin: 0 0 6px; font-size: .85rem; color: var(--muted); }
.scale img { width: 160px; height: 12px; image-rendering: auto; }

ul.samples { grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 16px; }
ul.samples li { padding: 10px 12px 12px; background: var(--raised); border-radius: 8px; }
.truth { margin: 0 0 6px; font-size: .88rem; }
.triple { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 8px; }
.triple figure { margin: 0; }
.triple img { display: block; width: 100%; height: auto; border-radius: 3px; }
.triple figcaption { margin-top: 4px; color: var(--muted); font-size: .76rem; line-height: 1.35; }
.verdict { display: block; color: var(--ink); font-size: .8rem; letter-spacing: -.01em; }
.right { color: var(--right); }
.wrong { color: var(--wrong); font-weight: 600; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }

.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)); gap: 0 32px; margin: 0; font-size: .9rem; }
.facts div { display: flex; justify-content: space-between; gap: 16px; padding: 4px 0; border-bottom: 1px solid var(--rule); }
.facts dt { flex: none; max-width: 60%; color: var(--muted); }
.facts dd { margin: 0; text-align: right; }
pre { margin: 0 0 12px; padding: 12px 14px; background: var(--raised); border-radius: 8px; white-space: pre-wrap; overflow-wrap: anywhere; font: .85rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }

@media (max-width: 520px) {
  .results { font-size: .84rem; }
  .results th, .results td { padding-left: 8px; }
  .results th:first-child, .results td:first-child { padding-left: 0; }
  .results thead td { width: 5.6rem; }
  header { padding-top: 28px; }
}
@media (min-width: 700px) { .results { table-layout: fixed; } }
@media print {
  @page { margin: 14mm; }
  body { font-size: 10.5pt; }
  main, header, footer { max-width: none; padding: 0; }
  h2, h3 { break-after: avoid; }
  .figure, ul.masks li, ul.samples li, tr, pre, .facts div { break-inside: avoid; }
  nav { display: none; }
  .figures { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  details:not([open]) { display: none; }
  img { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;
