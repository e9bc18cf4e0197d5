// Starts the servers of a stack so that they outlive whoever started them, and finds them again.
//
// Each process is known by its number and the moment it was started, so a number that the system has given to another
// process since is never signalled. The process itself notes both before it becomes the program it is to be: there is
// no moment at which it runs and is not noted, whatever happens to the one who starts it.

import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 20;
const STOP_MS = 10_000;

/** The fields of /proc/<pid>/stat that identify a process: number, state and moment of start. */
function parse(stat) {
  const pid = Number(stat.slice(0, stat.indexOf(' ')));
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid, state: fields[0], started: fields[19] };
}

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The note of a process that started so: `{ pid, started }`, or null where there is none. */
function noted(run, name) {
  const stat = read(`${run}/${name}`);
  return stat === '' ? null : parse(stat);
}

/** Waits for a process that was just started to note itself: at once, or never if it could not be started. */
export async function settled(run, name) {
  const isEmpty = () => existsSync(`${run}/${name}`) && read(`${run}/${name}`) === '';
  for (const limit = Date.now() + 1000; isEmpty() && Date.now() < limit;) await sleep(POLL_MS);
}

/** Whether the process that was noted under `name` still runs. */
export function runs(run, name) {
  const note = noted(run, name);
  if (!note) return false;
  const stat = read(`/proc/${note.pid}/stat`);
  if (stat === '') return false;
  const now = parse(stat);
  return now.started === note.started && now.state !== 'Z';
}

/** Its number. */
export const pid = (run, name) => noted(run, name)?.pid;

/** Every name under which a process was noted. */
export function names(run) {
  try {
    return readdirSync(run);
  } catch {
    return [];
  }
}

/**
 * Starts a program in a session of its own, its output in `log`, noted under `name`.
 * `options`: `cwd`, `env`, `owner` ({uid, gid}).
 */
export function start({ run, log }, name, command, options = {}) {
  const note = openSync(`${run}/${name}`, 'w', 0o600);
  const output = openSync(`${log}/${name}.log`, 'a', 0o600);
  const script = 'cat "/proc/$$/stat" >&3 && exec "$@" 3>&-';
  const child = spawn('/bin/sh', ['-c', script, 'sh', ...command], {
    cwd: options.cwd,
    env: { PATH: process.env.PATH, LC_ALL: 'C', ...options.env },
    ...options.owner,
    detached: true,
    stdio: ['ignore', output, output, note],
  });
  const started = { name, end: undefined };
  child.on('error', (error) => (started.end = error.message));
  child.on('exit', (code, signal) => (started.end = code ?? signal));
  child.unref();
  closeSync(note);
  closeSync(output);
  return started;
}

/** Asks a process to end by `signal`, and kills it with its group when it does not. */
export async function stop(run, name, signal) {
  const send = (target, what) => {
    try {
      process.kill(target, what);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  };
  const begin = Date.now();
  for (let asked = false; runs(run, name); await sleep(POLL_MS)) {
    if (!asked) send(pid(run, name), signal);
    asked = true;
    if (signal !== 'SIGKILL' && Date.now() < begin + STOP_MS) continue;
    if (Date.now() > begin + 2 * STOP_MS) throw new Ended(name, 'does not end');
    send(-pid(run, name), 'SIGKILL');
    send(pid(run, name), 'SIGKILL');
  }
}

let interrupted = false;

/** Makes whoever waits for a process give up. */
export function interrupt() {
  interrupted = true;
}

/** Whether that has happened. */
export const isInterrupted = () => interrupted;

/** Waits until `ready` gives something, and fails when the process ends or the time is over before. */
export async function until(started, seconds, ready) {
  for (const limit = Date.now() + seconds * 1000; ; await sleep(POLL_MS)) {
    const result = await ready();
    if (result) return result;
    if (interrupted) throw new Ended(started.name, 'was interrupted while it was started');
    if (started.end !== undefined)
      throw new Ended(started.name, `ended with ${started.end} while it was started`);
    if (Date.now() > limit) throw new Ended(started.name, `was not ready within ${seconds} s`);
  }
}

/** Waits for a program that does its work and ends. */
export function end(started, seconds) {
  return until(started, seconds, () => started.end === 0);
}

/** A program that did not do what was expected. */
export class Ended extends Error {
  constructor(component, what) {
    super(`${component} ${what}`);
    this.component = component;
  }
}
