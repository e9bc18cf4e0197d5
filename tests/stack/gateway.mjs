// The door of the stack: what a hosted project has before PostgREST and the edge functions, as far as a client
// notices.
//
//   node gateway.mjs CONFIG.json
//
// An imitation: it asks for `apikey`, turns opaque keys into short-lived JWTs, routes, writes down every request
// (never a key), and misbehaves when told to over its second port (see `faults.mjs`). Bodies are streamed unless a
// fault needs the whole.

import { openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { Faults, firstRows } from './faults.mjs';
import { roleKey } from './keys.mjs';

const config = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const log = openSync(config.log, 'a', 0o600);
const faults = new Faults();
/** Shorter than PostgREST keeps an idle connection, so that none is used that it is about to close. */
const agent = new http.Agent({ keepAlive: true, timeout: 10_000 });
/** What the keys stand for. The expired one passes here, so that PostgREST says what it says of it. */
const ROLES = {
  service_role: 'service_role',
  secret: 'service_role',
  anon: 'anon',
  publishable: 'anon',
  expired: 'service_role',
};
const HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const TOKEN_SECONDS = 300;
/** What nginx, and so Kong, takes by default. */
const URL_BYTES_MAX = 8 * 1024;

/** What has not been written down yet. */
const open = new Set();

const tokens = {};

/** A token of the platform for an opaque key, renewed in time. */
function token(role) {
  const now = Date.now();
  if (!(tokens[role]?.until > now)) {
    tokens[role] = { until: now + (TOKEN_SECONDS - 60) * 1000, jwt: roleKey(config, role, TOKEN_SECONDS) };
  }
  return tokens[role].jwt;
}

/** Who asks: `{ key, authorization }`, or `{ refusal }`. */
function authenticate({ apikey, authorization, 'user-agent': agent = '' }) {
  if (!apikey)
    return {
      refusal: {
        message: 'No API key found in request',
        hint: 'No `apikey` request header or url param was found.',
      },
    };
  const key = Object.keys(config.keys).find((name) => config.keys[name] === apikey);
  if (!key) return { refusal: { message: 'Invalid API key' } };
  const bearer = authorization?.replace(/^Bearer /i, '');
  const isOpaque = key === 'secret' || key === 'publishable';
  if (bearer?.startsWith('sb_') && bearer !== apikey) return { refusal: { message: 'Invalid API key' } };
  if (key === 'secret' && /^Mozilla\//.test(agent))
    return { refusal: { message: 'Forbidden use of secret API key in browser' } };
  if (bearer && bearer !== apikey) return { key, authorization };
  return { key, authorization: `Bearer ${isOpaque ? token(ROLES[key]) : apikey}` };
}

/** Where a request goes: `{ port, path }`, or null. */
function route(url) {
  const rest = /^\/rest\/v1(?=[/?]|$)/.exec(url);
  if (rest) {
    const path = url.slice(rest[0].length);
    return { port: config.postgrest_port, path: path.startsWith('/') ? path : `/${path}`, needsKey: true };
  }
  const name = /^\/functions\/v1(\/[^/?]+)/.exec(url);
  return name && { port: config.functions_port, path: url.slice('/functions/v1'.length), needsKey: false };
}

/** Headers as pairs, without those that concern one connection only. */
function headersOf(raw, without = []) {
  const pairs = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i].toLowerCase();
    if (!HOP.has(name) && !without.includes(name)) pairs.push([raw[i], raw[i + 1]]);
  }
  return pairs;
}

/** An answer of the gateway's own: text is HTML, anything else is sent as JSON. */
function answer(exchange, status, body, headers = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const type = typeof body === 'string' ? 'text/html' : 'application/json';
  exchange.response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    ...headers,
  });
  exchange.response.end(exchange.request.method === 'HEAD' ? undefined : text);
}

/** Sends the request on; resolves with the answer's beginning. */
function forward({ request, response, target, authorization }) {
  return new Promise((resolve, reject) => {
    const headers = headersOf(request.rawHeaders, ['host', 'apikey', 'authorization']);
    headers.push(['host', `127.0.0.1:${target.port}`]);
    if (authorization) headers.push(['authorization', authorization]);
    if (request.headers['transfer-encoding']) headers.push(['transfer-encoding', 'chunked']);
    const upstream = http.request({
      host: '127.0.0.1',
      port: target.port,
      path: target.path,
      method: request.method,
      headers: headers.flat(),
      agent,
    });
    upstream.on('response', resolve);
    upstream.on('error', reject);
    response.on('close', () => response.writableFinished || upstream.destroy());
    request.pipe(upstream);
  });
}

/** The usual way: the answer as it comes, its headers changed by `edit`. */
async function pass(exchange, edit = (headers) => headers) {
  const answer = await forward(exchange);
  const headers = edit(headersOf(answer.rawHeaders));
  exchange.entry.rows = rowsOf(headers, exchange.request.method);
  exchange.response.writeHead(answer.statusCode, headers.flat());
  answer.on('data', (chunk) => (exchange.entry.response_bytes += chunk.length));
  answer.on('error', () => exchange.response.destroy());
  answer.pipe(exchange.response);
}

/** The whole answer: nothing has been sent to the client when this is there. */
async function whole(exchange) {
  const answer = await forward(exchange);
  const chunks = [];
  for await (const chunk of answer) chunks.push(chunk);
  const headers = headersOf(answer.rawHeaders, ['content-length']);
  return { status: answer.statusCode, headers, body: Buffer.concat(chunks) };
}

function send(exchange, { status, headers, body }) {
  exchange.entry.rows = rowsOf(headers, exchange.request.method);
  exchange.entry.response_bytes = body.length;
  const length =
    exchange.request.method === 'HEAD' || status === 204 ? [] : [['content-length', body.length]];
  exchange.response.writeHead(status, [...headers, ...length].flat());
  exchange.response.end(body);
}

const rangeOf = (headers) => headers.find(([name]) => name.toLowerCase() === 'content-range')?.[1];

function withRange(headers, range) {
  const others = headers.filter(([name]) => name.toLowerCase() !== 'content-range');
  return [...others, ['Content-Range', range]];
}

/** How many rows were read or changed, where the answer says so. */
function rowsOf(headers, method) {
  const [, first, last, total] = /^(?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(rangeOf(headers) ?? '') ?? [];
  if (first !== undefined) return last - first + 1;
  if (total === undefined) return null;
  if (method === 'GET' || method === 'HEAD') return 0;
  return total === '*' ? null : Number(total);
}

/** A page with its first `keep` rows only. Unless `range` says otherwise its range is that of the rows kept. */
function shortened(page, { keep, range }) {
  const [, first, total] = /^(\d+)-\d+(\/.*)/.exec(rangeOf(page.headers) ?? '') ?? ['', '0', '/*'];
  const own = `${keep === 0 ? '*' : `${first}-${Number(first) + keep - 1}`}${total}`;
  return { ...page, headers: withRange(page.headers, range ?? own), body: firstRows(page.body, keep) };
}

/** How each fault behaves. Those with `forward` let the server do its work first. */
const ACTIONS = {
  async answer(exchange, { forward: first, status, headers, body = '' }) {
    await (first ? whole(exchange) : drained(exchange.request));
    answer(exchange, status, body, headers);
  },
  async hang(exchange, { forward: first }) {
    await (first ? whole(exchange) : drained(exchange.request));
    Faults.hold(exchange.fault, exchange.response);
    exchange.done();
  },
  async reset(exchange, { forward: first }) {
    await (first ? whole(exchange) : drained(exchange.request));
    exchange.request.socket.resetAndDestroy();
  },
  async cut(exchange) {
    const { status, headers, body } = await whole(exchange);
    exchange.response.writeHead(status, [...headers, ['content-length', body.length]].flat());
    exchange.entry.response_bytes = Math.floor(body.length / 2);
    exchange.response.write(body.subarray(0, body.length / 2), () => exchange.request.socket.destroy());
  },
  async delay(exchange, { ms }) {
    await sleep(ms);
    await pass(exchange);
  },
  async rows(exchange, action) {
    send(exchange, shortened(await whole(exchange), action));
  },
  async range(exchange, { range }) {
    await pass(exchange, (headers) => withRange(headers, range));
  },
  async repeat(exchange, { range }) {
    await drained(exchange.request);
    const page = faults.remembered(exchange.request.url);
    send(exchange, range ? { ...page, headers: withRange(page.headers, range) } : page);
  },
};

async function drained(request) {
  for await (const _ of request);
}

/** What is not let through, and how that is said. */
function barred({ request, target }, refusal) {
  if (request.url.length > URL_BYTES_MAX) return [414, '<html>414 Request-URI Too Large</html>'];
  if (!target) return [404, { message: 'no Route matched with those values' }];
  if (target.needsKey && refusal) return [401, refusal];
  return undefined;
}

async function serve(exchange) {
  const { request, entry } = exchange;
  exchange.target = route(request.url);
  const { key, authorization, refusal } = authenticate(request.headers);
  entry.key = key ?? null;
  exchange.authorization = authorization ?? request.headers.authorization;
  const bar = barred(exchange, refusal);
  if (bar) return answer(exchange, ...bar);
  const { fault, remember } = faults.take(request);
  if (fault) {
    entry.fault = fault.id;
    exchange.fault = fault;
    return ACTIONS[fault.action.do](exchange, fault.action);
  }
  if (!remember) return pass(exchange);
  const page = await whole(exchange);
  faults.remember(request.url, page);
  return send(exchange, page);
}

function handle(request, response) {
  const start = process.hrtime.bigint();
  const entry = {
    at: new Date().toISOString(),
    method: request.method,
    path: request.url,
    prefer: request.headers.prefer ?? null,
    key: null,
    fault: null,
    status: null,
    request_bytes: 0,
    response_bytes: 0,
    rows: null,
    ms: 0,
  };
  const exchange = {
    request,
    response,
    entry,
    /** Writes the request down. */
    done() {
      if (!open.delete(entry)) return;
      if (response.headersSent) entry.status = response.statusCode;
      entry.ms = Number(process.hrtime.bigint() - start) / 1e6;
      writeSync(log, `${JSON.stringify(entry)}\n`);
    },
  };
  open.add(entry);
  request.on('data', (chunk) => (entry.request_bytes += chunk.length)).pause();
  response.on('close', exchange.done);
  serve(exchange).catch((error) => {
    if (response.headersSent || response.destroyed) return response.destroy();
    entry.error = error.code ?? error.message;
    return answer(exchange, 502, { message: 'An invalid response was received from the upstream server' });
  });
}

/** What those who run the stack can ask for over the second port, by method and first part of the path. */
const ADMIN = {
  /** `GET /requests/TEXT`: what is written down of requests whose path holds TEXT, all that have begun among them. */
  async 'GET requests'(text) {
    const isMeant = ({ path }) => path.includes(text);
    while ([...open].some(isMeant)) await sleep(1);
    const entries = readFileSync(config.log, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
    return entries.filter(isMeant);
  },
  'GET faults': () => faults.list(),
  /** `DELETE /faults/1,2` */
  'DELETE faults': (ids) => faults.remove(ids.split(',').map(Number)),
  'POST faults'(_, rules) {
    const unknown = rules.find((rule) => !Object.hasOwn(ACTIONS, rule.action?.do));
    if (unknown) throw new Error(`an action is one of ${Object.keys(ACTIONS)}`);
    return faults.add(rules);
  },
};

async function administer(request, response) {
  const [, what, rest = ''] = /^\/(\w+)\/?(.*)$/.exec(decodeURIComponent(request.url)) ?? [];
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = chunks.length > 0 ? JSON.parse(Buffer.concat(chunks)) : undefined;
  const result = await ADMIN[`${request.method} ${what}`](rest, body);
  response.end(JSON.stringify(result ?? null));
}

/** Connections stay open as long as there; a URL may be so long that the answer to it is ours. */
const limits = { keepAliveTimeout: 75_000, requestTimeout: 0, maxHeaderSize: 1 << 20 };
const door = http.createServer(limits, handle);
const admin = http.createServer((request, response) => {
  administer(request, response).catch((error) =>
    response.writeHead(400).end(JSON.stringify({ message: error.message })),
  );
});
door.listen(0, '127.0.0.1', () => {
  admin.listen(0, '127.0.0.1', () => {
    writeFileSync(
      `${config.ports}.partial`,
      JSON.stringify({ port: door.address().port, admin: admin.address().port }),
    );
    renameSync(`${config.ports}.partial`, config.ports);
  });
});
