// PostgREST as a function of a project reaches it: with the rights of whoever called the function.

const root = Deno.env.get('POSTGREST_URL');

export const rest = (request: Request) => {
  const authorization = request.headers.get('authorization') ?? '';
  const send = async (path: string, init: RequestInit = {}) => {
    const headers = { authorization, 'content-type': 'application/json', ...init.headers };
    const answer = await fetch(`${root}/${path}`, { ...init, headers });
    if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
    return answer;
  };
  return {
    read: async (path: string) => (await send(path)).json(),
    upsert: async (table: string, key: string, row: unknown) => {
      const headers = { prefer: 'resolution=merge-duplicates,return=minimal' };
      await (await send(`${table}?on_conflict=${key}`, { method: 'POST', headers, body: JSON.stringify([row]) })).body?.cancel();
    },
  };
};
