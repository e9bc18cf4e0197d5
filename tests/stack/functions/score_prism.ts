// Makes or overwrites the profile of a session. Of the body only the session is looked at: `if_missing` and
// `engine_version` are not. The version comes from the database where that has one.

import { rest } from './rest.ts';

export default async (request: Request): Promise<Response> => {
  const { session_id } = await request.json();
  const { read, upsert } = rest(request);
  const answers = await read(`fc_answers?select=weight&session_id=eq.${session_id}`);
  if (answers.length === 0) return Response.json({ error: 'no responses for the session' }, { status: 400 });
  const [config] = await read('scoring_config?select=results_version&limit=1');
  const results_version = config?.results_version ?? 'v1.2.1';
  const [old] = await read(`profiles?select=submitted_at&session_id=eq.${session_id}`);
  const now = new Date().toISOString();
  const times = old
    ? { created_at: old.submitted_at, recomputed_at: now }
    : { created_at: now, submitted_at: now, recomputed_at: null };
  const row = { session_id, results_version, scores: { type: 'LII' }, confidence: 0.5, ...times };
  await upsert('profiles', 'session_id', row);
  return Response.json({ status: 'success', profile: { session_id, results_version } });
};
