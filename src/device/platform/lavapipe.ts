/**
 * Installing Mesa's software Vulkan driver, lavapipe, on Debian and Ubuntu. What has to be done is decided from texts alone
 * (`planInstallation`); the commands that people are asked about are, letter by letter, those that run.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SparrowError } from '../../errors.ts';

const driver = 'mesa-vulkan-drivers';
/** The first version of Mesa whose lavapipe Dawn accepts without reserve; 22.3 lacks dynamic indexing of uniform arrays. */
const oldestMesa = 25;

/** What the decision depends on. */
export interface Machine {
  /** `/etc/os-release`. */
  osRelease: string;
  /** What `apt-cache policy` prints: every source that apt knows. */
  sources: string;
  /** What `apt-cache policy mesa-vulkan-drivers` prints; nothing where apt has no lists yet. */
  policy: string;
  /** Whether the process runs as root. */
  root: boolean;
  /** Whether there is a `sudo`. */
  sudo: boolean;
}

/** One version that apt could install, and where it would come from. */
interface Offer {
  version: string;
  sources: { uri: string; suite: string }[];
}

/**
 * The shell commands that install a usable lavapipe; none where there is one already. Where apt has no lists yet the only command
 * fetches them, and the machine has to be looked at again.
 * @throws SparrowError where it cannot be done here, with the reason
 */
export function planInstallation(machine: Machine): string[] {
  const os = parseOsRelease(machine.osRelease);
  if (os.id !== 'debian' && os.id !== 'ubuntu') {
    throw new SparrowError(`lavapipe can be installed on Debian and Ubuntu only, this is ${os.name}; install Mesa >= 25 by hand`);
  }
  const installed = /^ *Installed: (\S+)$/m.exec(machine.policy)?.[1] ?? '';
  if (mesaMajor(installed) >= oldestMesa) return [];
  if (!machine.root && !machine.sudo) throw new SparrowError('installing lavapipe needs root: run the command as root');

  const asRoot = machine.root ? '' : 'sudo ';
  const update = `${asRoot}apt-get update`;
  const install = (from: string) =>
    `${asRoot}env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${from}${driver}`;

  const candidate = /^ *Candidate: (\S+)$/m.exec(machine.policy)?.[1] ?? '(none)';
  if (candidate === '(none)') return [update];
  if (mesaMajor(candidate) >= oldestMesa) return [update, install('')];

  const offers = parseOffers(machine.policy);
  const newer = offers.find(offer => mesaMajor(offer.version) >= oldestMesa && offer.sources.length > 0);
  if (newer) return [update, install(`-t ${newer.sources[0].suite} `)];

  const backports = `${os.codename}-backports`;
  if (!os.codename || machine.sources.includes(` ${backports}/`)) {
    throw new SparrowError(`${os.name} offers Mesa ${candidate} only, and lavapipe needs ${oldestMesa}: use a newer release`);
  }
  const mirror = offers.flatMap(offer => offer.sources).find(({ suite }) => suite === os.codename);
  if (!mirror) throw new SparrowError(`apt has no source for ${os.codename} whose backports could be added: add them by hand`);
  const file = `/etc/apt/sources.list.d/sparrow-${backports}.sources`;
  const lines = [
    'Types: deb',
    `URIs: ${mirror.uri}`,
    `Suites: ${backports}`,
    `Components: ${os.id === 'ubuntu' ? 'main universe' : 'main'}`,
    `Signed-By: /usr/share/keyrings/${os.id}-archive-keyring.gpg`,
  ];
  const add = `printf '%s\\n' ${lines.map(quote).join(' ')} | ${asRoot}tee ${file} >/dev/null`;
  return [add, update, install(`-t ${backports} `)];
}

function parseOsRelease(text: string): { id: string; codename: string; name: string } {
  const field = (key: string) => new RegExp(`^${key}=["']?([^"'\n]*)`, 'm').exec(text)?.[1] ?? '';
  return { id: field('ID'), codename: field('VERSION_CODENAME'), name: field('PRETTY_NAME') || 'another system' };
}

/** The year-based first number of Mesa's version, NaN where there is none: 25 for `25.0.7-2~bpo12+1`. */
function mesaMajor(version: string): number {
  return Number.parseInt(version.replace(/^\d+:/, ''), 10);
}

/** The version table of `apt-cache policy`: a version a block, below it one line for each source with its priority. */
function parseOffers(policy: string): Offer[] {
  const offers: Offer[] = [];
  for (const line of policy.split('\n')) {
    const version = /^ (?:\*\*\*| {3}) (\S+) -?\d+$/.exec(line)?.[1];
    const source = /^ +-?\d+ (\S+) ([^/\s]+)\/\S+ \S+ Packages$/.exec(line);
    if (version) offers.push({ version, sources: [] });
    else if (source) offers.at(-1)?.sources.push({ uri: source[1], suite: source[2] });
  }
  return offers;
}

/** A word for the shell, in quotes that nothing expands in. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * Installs lavapipe where there is none that Dawn accepts; does nothing where there is.
 * @param confirm shown the exact commands; they run only where it answers true
 * @throws SparrowError where the system is another one, root is missing, or apt fails (with the last line of what it said)
 */
export async function installLavapipe(confirm: (commands: string) => Promise<boolean>): Promise<void> {
  let commands = planInstallation(lookAround());
  while (commands.length > 0) {
    if (!(await confirm(commands.join('\n')))) return;
    for (const command of commands) await execute(command);
    const next = planInstallation(lookAround());
    if (next.join() === commands.join()) throw new SparrowError(`apt ran without an error, but ${driver} is not there`);
    commands = next;
  }
}

function lookAround(): Machine {
  const osRelease = '/etc/os-release';
  const path = (process.env.PATH ?? '').split(':');
  return {
    osRelease: existsSync(osRelease) ? readFileSync(osRelease, 'utf8') : '',
    sources: aptPolicy(),
    policy: aptPolicy(driver),
    root: process.geteuid?.() === 0,
    sudo: path.some(folder => existsSync(join(folder, 'sudo'))),
  };
}

/** What `apt-cache policy` says in English; nothing where there is no apt. */
function aptPolicy(...names: string[]): string {
  try {
    const env = { ...process.env, LC_ALL: 'C' };
    return execFileSync('apt-cache', ['policy', ...names], { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return '';
  }
}

/** Runs one command, with all it prints on stderr. */
function execute(command: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('sh', ['-c', command], { stdio: ['inherit', 'pipe', 'pipe'] });
    const last = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        process.stderr.write(text);
        last[name] = text.trim().split('\n').at(-1) || last[name];
      });
    }
    child.on('error', reject);
    child.on('close', code => {
      if (code === 0) resolve();
      else reject(new SparrowError(`'${command}' failed (exit code ${code}): ${last.stderr || last.stdout}`));
    });
  });
}
