/** `npm run lines`: files, lines of code and lines of comments in each folder. Blank lines are not counted. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatTable } from '../src/cli/table.ts';
import { root } from './bundle.ts';

const folders = readdirSync(join(root, 'src'), { withFileTypes: true })
  .filter(entry => entry.isDirectory())
  .map(entry => `src/${entry.name}`);
const source = /\.(ts|js|wgsl|py|sh|html|css)$/;
/** Installed packages are not ours to count. */
const installed = /(^|\/)node_modules\//;

function count(folder: string): [name: string, files: number, code: number, comments: number] {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).filter(
    name => source.test(name) && !installed.test(name),
  );
  const lines = files
    .flatMap(name => readFileSync(join(root, folder, name), 'utf8').split('\n'))
    .filter(line => line.trim() !== '');
  const comments = lines.filter(line => /^\s*(\/\/|\/\*|\*|#|""")/.test(line) && !/^\s*\/\/%/.test(line)).length;
  return [folder, files.length, lines.length - comments, comments];
}

const present = readdirSync(root);
const rows = [...folders, ...['web', 'test', 'bench', 'scripts'].filter(name => present.includes(name))].map(count);
const total = ['total', ...[1, 2, 3].map(c => rows.reduce((sum, row) => sum + Number(row[c]), 0))];
process.stdout.write(
  `${formatTable(
    ['folder', 'files', 'code', 'comments'],
    [...rows, total].map(row => row.map(String)),
  )}\n`,
);
