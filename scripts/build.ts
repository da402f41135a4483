/** `npm run build`: `dist/`, which is what the published package runs: the library for Node and for browsers, its types, the command line. */
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dependencies } from '../package.json';
import { bundleForBrowser, bundleForNode, root, worker } from './bundle.ts';

const dist = join(root, 'dist');
rmSync(dist, { recursive: true, force: true });
// What npm installs beside the package stays outside of it; @sparticuz/chromium is only used where it happens to be.
await bundleForNode({ index: 'src/index.ts', sparrow: 'src/cli/main.ts', ...worker }, dist, Object.keys(dependencies));
writeFileSync(join(dist, 'browser.js'), await bundleForBrowser('src/index.ts'));
execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
