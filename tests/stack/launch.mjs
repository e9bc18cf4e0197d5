// Starts and stops the stack: PostgreSQL, PostgREST, edge functions and a gateway before them.
//
//   node launch.mjs up --state DIR [--max-rows N] [--tx-end MODE] [--fsync]
//   node launch.mjs status --state DIR
//   node launch.mjs down --state DIR
//
// Prints one JSON document on stdout, never a key. Ends with 0 when done (`status`: when everything runs), 1 when it
// failed, 3 when it refused because a component is missing or the folder is somebody else's, 130 when it was
// interrupted.

import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

import * as components from './components.mjs';
import { Refused } from './components.mjs';
import { newProject } from './keys.mjs';
import { interrupt, isInterrupted, names, pid, runs, settled, stop } from './processes.mjs';

const SERVERS = ['postgres', 'postgrest', 'functions', 'gateway'];
/** How each is asked to end; the others are killed. PostgreSQL is not to save what is removed. */
const SIGNALS = { postgres: 'SIGQUIT', postgrest: 'SIGTERM', functions: 'SIGTERM', gateway: 'SIGTERM' };
/** The note of a program that is at work here. */
const LAUNCHER = 'launcher';
/** In a folder that this program made. */
const MARK = '.ops-stack';

function options() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      state: { type: 'string' },
      'max-rows': { type: 'string', default: '1000' },
      'tx-end': { type: 'string', default: 'commit' },
      fsync: { type: 'boolean', default: false },
    },
  });
  if (!values.state) throw new Error('--state is missing');
  const dir = resolve(values.state);
  const state = { dir, run: join(dir, 'run'), log: join(dir, 'log'), file: join(dir, 'stack.json') };
  const settings = { maxRows: Number(values['max-rows']), txEnd: values['tx-end'], fsync: values.fsync };
  return { verb: positionals[0], state, settings };
}

/** What is written in the state folder of a stack that came up, or null. */
function stackOf(state) {
  return existsSync(state.file) ? JSON.parse(readFileSync(state.file, 'utf8')) : null;
}

function report(state, more) {
  const stack = stackOf(state);
  const servers = Object.fromEntries(SERVERS.map((name) => [name, runs(state.run, name)]));
  const up = stack !== null && Object.values(servers).every(Boolean);
  const { jwt_secret, keys, ...open } = stack ?? {};
  return { up, state: state.dir, servers, ...open, ...more };
}

async function up(state, settings) {
  const before = report(state);
  if (before.up) return { ...before, already: true };
  const programs = components.find();
  await claim(state, programs);
  const project = newProject();
  const stack = { ...project, max_rows: settings.maxRows, tx_end: settings.txEnd, fsync: settings.fsync };
  try {
    await startAll(state, programs, settings, stack);
  } catch (error) {
    error.tail = components.tail(state, error.component);
    await tearDown(state);
    throw error;
  }
  return { ...report(state), already: false };
}

const refused = (...why) => new Refused('the stack cannot be started here', ...why);

/** Makes the state folder ours alone, and removes what an earlier stack left there. */
async function claim(state, programs) {
  const isOurs = existsSync(join(state.dir, MARK));
  if (existsSync(state.dir) && !isOurs && readdirSync(state.dir).length > 0) {
    throw refused(
      'an empty folder, or that of a stack',
      `other files in \`${state.dir}\``,
      'name another folder with --state',
    );
  }
  if (runs(state.run, LAUNCHER)) {
    throw refused(
      'no other `up` at work here',
      `process ${pid(state.run, LAUNCHER)}`,
      'wait for it, or end it with `down`',
    );
  }
  const closed = programs.owner && components.closedFolder(dirname(state.dir));
  if (closed) {
    throw refused(
      'a folder that user postgres can enter',
      `\`${closed}\` is closed`,
      'name another folder with --state',
    );
  }
  if (existsSync(state.file))
    process.stderr.write('An earlier stack that no longer ran as a whole is removed.\n');
  await tearDown(state);
  mkdirSync(state.dir, { recursive: true, mode: 0o755 });
  chmodSync(state.dir, 0o755);
  writeFileSync(join(state.dir, MARK), '');
  mkdirSync(state.run);
  mkdirSync(state.log);
  writeFileSync(join(state.run, LAUNCHER), readFileSync('/proc/self/stat'), { flag: 'wx' });
}

async function startAll(state, programs, settings, stack) {
  stack.postgres_port = await components.postgres(state, programs, settings);
  stack.postgrest_port = await components.postgrest(state, programs, stack, settings);
  stack.functions_port = await components.functions(state, programs, stack);
  const ports = await components.gateway(state, stack);
  Object.assign(stack, {
    url: `http://127.0.0.1:${ports.port}`,
    admin_url: `http://127.0.0.1:${ports.admin}`,
    postgrest_url: `http://127.0.0.1:${stack.postgrest_port}`,
    database_url: `postgres://postgres@127.0.0.1:${stack.postgres_port}/postgres`,
    requests: join(state.dir, 'requests.ndjson'),
  });
  const variables = {
    SUPABASE_URL: stack.url,
    SUPABASE_ANON_KEY: stack.keys.anon,
    SUPABASE_SERVICE_ROLE_KEY: stack.keys.service_role,
  };
  const lines = Object.entries(variables).map(([name, value]) => `export ${name}=${value}\n`);
  writeFileSync(join(state.dir, 'env'), lines.join(''), { mode: 0o600 });
  writeFileSync(`${state.file}.partial`, `${JSON.stringify(stack, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${state.file}.partial`, state.file);
}

/** Ends every process that was noted, and removes the folder; the number of processes ended. */
async function tearDown(state) {
  if (!existsSync(join(state.dir, MARK))) return 0;
  // Whoever still starts servers must not start more.
  const others = names(state.run).filter((name) => name !== LAUNCHER && !SERVERS.includes(name));
  let ended = 0;
  for (const name of [LAUNCHER, ...others, ...[...SERVERS].reverse()]) {
    await settled(state.run, name);
    if (!runs(state.run, name) || pid(state.run, name) === process.pid) continue;
    await stop(state.run, name, SIGNALS[name] ?? 'SIGKILL');
    ended += 1;
  }
  // The mark goes last: a folder that was removed by half is still known as ours.
  const patience = { recursive: true, force: true, maxRetries: 10, retryDelay: 50 };
  for (const name of readdirSync(state.dir)) if (name !== MARK) rmSync(join(state.dir, name), patience);
  rmSync(state.dir, patience);
  return ended;
}

async function main() {
  const { verb, state, settings } = options();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, interrupt);
  if (verb === 'up') return [await up(state, settings), 0];
  if (verb === 'status') {
    const status = report(state);
    return [status, status.up ? 0 : 1];
  }
  const was = existsSync(join(state.dir, MARK));
  return [{ state: state.dir, was, ended: await tearDown(state) }, 0];
}

try {
  const [document, code] = await main();
  process.stdout.write(`${JSON.stringify(document)}\n`);
  process.exitCode = code;
} catch (error) {
  const isRefused = error instanceof Refused;
  process.stderr.write(`${isRefused ? 'refused' : 'error'}: ${error.message}\n`);
  if (error.tail) process.stderr.write(`${error.tail}\n`);
  process.exitCode = isRefused ? 3 : isInterrupted() ? 130 : 1;
}
