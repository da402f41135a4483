/**
 * A page in the Chromium that travels inside `@sparticuz/chromium`: WebGPU on SwiftShader, no system package, no display. The page's
 * functions are the exports of one bundled module (`page.ts`).
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Browser, chromium, type Page } from 'playwright-core';
import { bundleForBrowser, root } from '../../scripts/bundle.ts';
import { cacheFolder } from '../../src/device/platform/cache.ts';

/** What may cross between this process and the page. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** The package holds a browser for Linux on x86-64 only. */
export const hasChromium = process.platform === 'linux' && process.arch === 'x64';

/** A folder with the unpacked browser. Its package unpacks into the temporary folder, and its libraries only on Amazon's Lambda. */
async function unpackedChromium(): Promise<string> {
  const manifest = join(root, 'node_modules/@sparticuz/chromium/package.json');
  const { version } = JSON.parse(await readFile(manifest, 'utf8')) as { version: string };
  const folder = join(cacheFolder(), `chromium-${version}`);
  if (existsSync(folder)) return folder;
  const temporary = `${folder}.${randomBytes(4).toString('hex')}`;
  await mkdir(temporary, { recursive: true });
  try {
    const script = "import('@sparticuz/chromium').then(package_ => package_.default.executablePath())";
    const env = { ...process.env, TMPDIR: temporary, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs20.x' };
    await promisify(execFile)(process.execPath, ['-e', script], { cwd: root, env });
    await rename(temporary, folder);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

/** A server on localhost, which browsers count as a secure context: without one there is no `navigator.gpu`. */
async function serve(files: Record<string, { type: string; content: string }>): Promise<Server> {
  const server = createServer((request, response) => {
    const file = files[request.url ?? ''];
    response.writeHead(file ? 200 : 404, { 'content-type': file?.type ?? 'text/plain' }).end(file?.content);
  });
  await new Promise<void>(listening => server.listen(0, 'localhost', listening));
  return server;
}

/** An open page. To be closed, or its processes go on. */
export class TestPage {
  private readonly server: Server;
  private readonly browser: Browser;
  private readonly page: Page;

  private constructor(server: Server, browser: Browser, page: Page) {
    this.server = server;
    this.browser = browser;
    this.page = page;
  }

  /** @param entry a TypeScript file, relative to the project's folder */
  static async open(entry: string): Promise<TestPage> {
    const files = {
      '/': { type: 'text/html', content: '<!doctype html><title>sparrow</title>' },
      '/page.js': { type: 'text/javascript', content: await bundleForBrowser(entry) },
    };
    const folder = await unpackedChromium();
    const server = await serve(files);
    try {
      const browser = await chromium.launch({
        executablePath: join(folder, 'chromium'),
        env: { ...process.env, LD_LIBRARY_PATH: join(folder, 'al2023/lib'), FONTCONFIG_PATH: join(folder, 'fonts') },
        args: ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--disable-background-networking'],
      });
      const page = await browser.newPage();
      await page.goto(`http://localhost:${(server.address() as AddressInfo).port}/`);
      return new TestPage(server, browser, page);
    } catch (error) {
      server.close();
      throw error;
    }
  }

  /** Calls a function that the entry exports, in the page. */
  run(name: string, ...args: Json[]): Promise<Json> {
    return this.page.evaluate(`import('/page.js').then(page => page[${JSON.stringify(name)}](...${JSON.stringify(args)}))`);
  }

  /** Ends the browser with all its processes, and the server. */
  async close(): Promise<void> {
    await this.browser.close();
    await new Promise(closed => this.server.close(closed));
  }
}
