// What the gateway is told to do wrong, and how often it did.
//
// A rule: `{ match: { method, path }, after, times, action }`. `path` is a regular expression for path and query.
// Of the requests that match, the first `after` (0) pass and the next `times` (1) get the action. The first rule
// that fires has the request; those behind it have not seen it.
//
// Actions, by `do`; with `forward` the server does its work first, and then its answer is lost:
//
//   answer  an answer of its own: `status`, `headers`, `body` (text is HTML, anything else JSON); `forward`
//   hang    no answer, until the rule is removed or the client gives up; `forward`
//   reset   the connection is reset; `forward`
//   cut     the body ends in the middle, with the connection
//   delay   `ms` before the request is sent on
//   rows    only the first `keep` rows, the range being theirs or the one given as `range`
//   range   another Content-Range: `range`
//   repeat  the page before, of the same table, with its range or the one given as `range`

export class Faults {
  #rules = [];
  #pages = new Map();
  #next = 1;

  /** Adds rules behind those that are there; their ids. */
  add(rules) {
    const added = rules.map(({ match = {}, after = 0, times = 1, action }) => ({
      id: this.#next++,
      match: { method: match.method, path: new RegExp(match.path ?? '') },
      after,
      times,
      action,
      seen: 0,
      fired: 0,
      held: new Set(),
    }));
    this.#rules.push(...added);
    return added.map(({ id }) => id);
  }

  /** Forgets these rules, and lets go whom they left hanging. */
  remove(ids) {
    for (const rule of this.#rules.filter(({ id }) => ids.includes(id))) {
      for (const response of rule.held) response.destroy();
    }
    this.#rules = this.#rules.filter(({ id }) => !ids.includes(id));
  }

  list() {
    return this.#rules.map(({ id, action, seen, fired }) => ({ id, action, seen, fired }));
  }

  /** The rule that fires for a request, and whether a later one wants to see the answer. */
  take({ method, url }) {
    let remember = false;
    for (const rule of this.#rules) {
      if (rule.match.method !== undefined && rule.match.method !== method) continue;
      if (!rule.match.path.test(url)) continue;
      rule.seen += 1;
      if (rule.seen > rule.after && rule.fired < rule.times) {
        rule.fired += 1;
        return { fault: rule, remember: false };
      }
      remember ||= rule.action.do === 'repeat' && rule.fired < rule.times;
    }
    return { remember };
  }

  /** Keeps a connection open without an answer, for as long as the rule is there. */
  static hold(rule, response) {
    rule.held.add(response);
    response.on('close', () => rule.held.delete(response));
  }

  remember(url, page) {
    this.#pages.set(url.split('?')[0], page);
  }

  /** The page before, of the same table. */
  remembered(url) {
    const page = this.#pages.get(url.split('?')[0]);
    if (!page) throw new Error('there is no page before this one');
    return page;
  }
}

/** The first rows of a JSON array, as they are written: a number that JavaScript cannot hold stays what it is. */
export function firstRows(body, keep) {
  const text = body.toString('utf8');
  let depth = 0;
  let isQuoted = false;
  let rows = 0;
  if (keep === 0) return Buffer.from('[]');
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (isQuoted) {
      if (c === '\\') i++;
      else if (c === '"') isQuoted = false;
    } else if (c === '"') isQuoted = true;
    else if (c === '[' || c === '{') depth++;
    else if (c === ']' || c === '}') depth--;
    else if (c === ',' && depth === 1 && ++rows === keep) return Buffer.from(`${text.slice(0, i)}]`);
  }
  return body;
}
