// The edge functions of the stack in one process: `/<name>` goes to the function of that name.

import hello from './hello.ts';
import score_fc_session from './score_fc_session.ts';
import score_prism from './score_prism.ts';

const functions: Record<string, (request: Request) => Response | Promise<Response>> = {
  hello,
  score_fc_session,
  score_prism,
};

Deno.serve({ hostname: '127.0.0.1', port: Number(Deno.env.get('FUNCTIONS_PORT')) }, (request) => {
  const name = new URL(request.url).pathname.slice(1);
  const run = Object.hasOwn(functions, name) ? functions[name] : undefined;
  return run
    ? run(request)
    : Response.json({ code: 'NOT_FOUND', message: 'Requested function was not found' }, { status: 404 });
});
