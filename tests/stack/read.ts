// Prints every row of a table as the official client reads it, one JSON object a line, its keys in order of the
// alphabet.
//
//   deno run ... read.ts TABLE KEY[,KEY...] COLUMNS
//
// SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY say where. COLUMNS is what `select` takes: `*`, or with casts
// (`n::text`) where a number would not fit into one of JavaScript. The next page begins behind the rows that came,
// because the client does not say when the server cut a page.

import { createClient } from '@supabase/supabase-js';

const [table, keys, columns] = Deno.args;
const client = createClient(Deno.env.get('SUPABASE_URL')!, Deno.env.get('SUPABASE_SERVICE_ROLE_KEY')!, {
  auth: { persistSession: false, autoRefreshToken: false },
});

/** The value with the keys of every object sorted. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort()
      .map(([name, inner]) => [name, canonical(inner)]),
  );
}

for (let from = 0; ;) {
  let page = client.from(table).select(columns);
  for (const key of keys.split(',')) page = page.order(key);
  const { data, error } = await page.range(from, from + 999);
  if (error) throw new Error(`${error.code}: ${error.message}`);
  if (data.length === 0) break;
  console.log(data.map((row) => JSON.stringify(canonical(row))).join('\n'));
  from += data.length;
}
