// Scores the forced choices of a session. A session without any gets no row, and 200 all the same.

import { rest } from './rest.ts';

export default async (request: Request): Promise<Response> => {
  const { session_id, version = 'v1.1', basis = 'types' } = await request.json();
  const { read, upsert } = rest(request);
  const answers = await read(`fc_answers?select=weight&session_id=eq.${session_id}`);
  if (answers.length > 0) {
    const sum = answers.reduce((total: number, { weight }: { weight: number }) => total + weight, 0);
    const row = { session_id, version, fc_kind: basis, scores: { sum }, blocks_answered: answers.length };
    await upsert('fc_scores', 'session_id,version,fc_kind', row);
  }
  return Response.json({ status: 'success', blocks_answered: answers.length });
};
