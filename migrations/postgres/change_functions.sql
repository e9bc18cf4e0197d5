-- Compare-and-swap in bulk for targets that are reached through PostgREST. Install and verify with
--
--     psql -X -v ON_ERROR_STOP=1 [-v schema=public] -f change_functions.sql DATABASE
--     psql -X -v ON_ERROR_STOP=1 [-v schema=public] -f change_functions.verify.sql DATABASE
--
-- `schema` is the schema that PostgREST exposes. Installing again replaces the functions and keeps the books. Only
-- service_role, where that role exists, may execute them; they run with the caller's rights and never see or change a
-- row that row-level security hides from it. The search path is pinned to `schema` and the path of the session that
-- installs: triggers of the tables find what they find otherwise.
--
-- The books are two tables in `schema` (change_books.sql). A runner that comes over a PostgreSQL connection finds them when
-- its search path begins there, and then neither takes a table that the other holds.
--
-- Values travel as JSON strings of the text that `column::text` gives under timezone UTC, datestyle ISO, intervalstyle
-- iso_8601, bytea_output hex and extra_float_digits 1, or as null. Rows are arrays over the argument `columns`.
-- Two values are the same when their texts are; decimals when they are equal, floats when their bits are.
--
-- Functions that only read are STABLE and can be called with GET. All arguments are named. Answers are one JSON value.
--
-- ops_change_version() -> 1
--     The version of this interface.
--
-- ops_change_describe(table_name text, schema_name text = null) -> object
--     {"schema", "name", "relkind",
--      "columns": [{"name", "type", "base", "kind", "nullable", "default", "origin"}], in the catalogue's order
--      "primary_key": [name], "unique": [[name]], "notes": [sentence], "refusal": null or {"expected", "found"}}
--     `type` is how PostgreSQL prints the type, with its modifier; `base` is the type below all domains without modifier;
--     `kind` and `origin` are spelled as in the library (int, number, timestamp_tz, other, ...; written, computed,
--     numbered, always_numbered). A `refusal` says why the table cannot be changed by this role.
--     For a table that is not there: {"missing": true, "tables": [schema.name]}, at most 1000 of those that are.
--
-- ops_change_begin(plan text, direction text, owner text, table_name text, schema_name text, at timestamptz,
--                  expires timestamptz) -> object
--     {"next": position, "closed": boolean} when the run now holds the table (or is closed for good: then it does not
--     hold it), {"lost": sentence} when another runner does.
--
-- ops_change_apply(plan text, direction text, owner text, table_name text, schema_name text, key_columns text[],
--                  columns text[], first bigint, changes jsonb, at timestamptz) -> object
--     `changes` is an array of
--         ["i", null, after]   the row must not exist; `false` in place of a value leaves a column to its default
--         ["u", before, after] the row must be exactly `before`
--         ["d", before, null]  the row must be exactly `before`
--     with `key_columns` among `columns`, and no key twice. Answers {"rows": count, "outcomes": [...], "repeated": boolean}
--     or {"lost": sentence}, and then nothing was changed. `outcomes` has an entry for each change that was not applied as
--     sent, in order, `at` counting from 0 in `changes`:
--         {"at": 3, "is": "applied", "row": [...]}   applied, and stored otherwise than sent (defaults, triggers, rounding)
--         {"at": 4, "is": "already"}                 the row already was as it shall be
--         {"at": 5, "is": "drifted", "row": [...]}   neither `before` nor `after`: left alone; row null when it is gone
--         {"at": 6, "is": "failed", "reason": "SQLSTATE 23505, constraint t_slug_key"}   refused, the others were applied
--     All of it and the books are one transaction. A batch that is already in the books is not applied again: its recorded
--     outcomes come back with "repeated": true, so that a request whose answer was lost can be sent again.
--
-- ops_change_batch(jsonb) -> object
--     ops_change_apply with its arguments as members of one object. PostgREST hands a body to the only argument without a name as
--     it is; to named arguments it goes after being taken apart, which costs as much again as reading it.
--
-- ops_change_recorded(plan text, direction text, position bigint, batches_max bigint = 1000) -> array
--     [{"first", "rows", "outcomes"}] of the batches that end behind `position`, in order.
--
-- ops_change_renew(plan text, direction text, owner text, expires timestamptz) -> {"held": true} or {"lost": sentence}
--
-- ops_change_close(plan text, direction text, owner text, is_done boolean) -> {"held": false} or {"lost": sentence}
--     Gives the table back; `is_done` closes the run for good.

\set ON_ERROR_STOP on
\if :{?schema}
\else
    \set schema public
\endif
BEGIN;
SELECT set_config('search_path', concat_ws(', ', quote_ident(:'schema'), nullif(current_setting('search_path'), ''),
    'pg_temp'), true) AS search_path \gset
\ir change_books.sql

CREATE OR REPLACE FUNCTION ops_change_version() RETURNS integer
LANGUAGE sql STABLE SET search_path FROM CURRENT
AS 'SELECT 1';

-- The columns of one relation ($1) in the catalogue's order. `base` is the type below all domains, without a modifier: a
-- cast to it never cuts or rounds. The PostgreSQL driver runs the query of this function and of the next as they stand. With
-- pg_catalog alone as the search path the names of all other types are printed with their schema. It is written in
-- plpgsql, and told to, because that keeps the plan of the query from call to call: making it takes longer than running it.
CREATE OR REPLACE FUNCTION ops_change_columns(relation oid)
RETURNS TABLE (name text, type text, base text, kind text, nullable boolean, "default" text, origin text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $columns$
#variable_conflict use_column
BEGIN
RETURN QUERY
-- query of columns
SELECT a.attname::text,
    format_type(a.atttypid, a.atttypmod),
    format_type(b.oid, -1),
    CASE
        WHEN t.typname = 'citext' THEN 'text'
        WHEN t.typnamespace <> 'pg_catalog'::regnamespace THEN 'other'
        WHEN t.typname = 'bool' THEN 'bool'
        WHEN t.typname IN ('int2', 'int4', 'int8') THEN 'int'
        WHEN t.typname = 'numeric' THEN 'number'
        WHEN t.typname IN ('float4', 'float8') THEN 'real'
        WHEN t.typname IN ('text', 'varchar', 'bpchar', 'name') THEN 'text'
        WHEN t.typname = 'bytea' THEN 'bytes'
        WHEN t.typname IN ('json', 'jsonb') THEN 'json'
        WHEN t.typname = 'uuid' THEN 'uuid'
        WHEN t.typname = 'timestamptz' THEN 'timestamp_tz'
        WHEN t.typname = 'timestamp' THEN 'timestamp'
        WHEN t.typname = 'date' THEN 'date'
        ELSE 'other'
    END,
    NOT (a.attnotnull OR b.not_null),
    coalesce(pg_get_expr(f.adbin, f.adrelid), b.expression),
    CASE
        WHEN a.attgenerated <> '' THEN 'computed'
        WHEN a.attidentity = 'a' THEN 'always_numbered'
        WHEN a.attidentity = 'd' OR pg_get_expr(f.adbin, f.adrelid) LIKE 'nextval(%' THEN 'numbered'
        ELSE 'written'
    END
FROM pg_attribute a
LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
CROSS JOIN LATERAL (
    WITH RECURSIVE chain AS (
        SELECT 1 AS depth, d.oid, d.typtype, d.typbasetype, d.typnotnull, d.typdefault
        FROM pg_type d WHERE d.oid = a.atttypid
        UNION ALL
        SELECT c.depth + 1, d.oid, d.typtype, d.typbasetype, d.typnotnull, d.typdefault
        FROM chain c JOIN pg_type d ON d.oid = c.typbasetype WHERE c.typtype = 'd'
    )
    SELECT bool_or(c.typnotnull) AS not_null,
        (array_agg(c.typdefault ORDER BY c.depth) FILTER (WHERE c.typdefault IS NOT NULL))[1] AS expression,
        max(c.oid) FILTER (WHERE c.typtype <> 'd') AS oid
    FROM chain c
) b
JOIN pg_type t ON t.oid = b.oid
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
-- end of query
;
END
$columns$;

-- What else the catalogue says of one relation ($1).
CREATE OR REPLACE FUNCTION ops_change_catalogue(relation oid) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $catalogue$
-- query of catalogue
WITH col AS (
    SELECT a.attnum, a.attname FROM pg_attribute a
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
), keys AS (
    -- Keys that hold for every row and at every moment: nothing partial, computed, invalid or deferred.
    SELECT i.indisprimary, k.names
    FROM pg_index i, LATERAL (
        SELECT jsonb_agg(c.attname ORDER BY u.position) AS names
        FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS u (attnum, position) JOIN col c USING (attnum)
        WHERE u.position <= i.indnkeyatts
    ) k
    WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate
        AND i.indpred IS NULL AND i.indexprs IS NULL
), note AS (
    SELECT format('trigger %s: %s', quote_ident(g.tgname), concat_ws(' ',
            CASE WHEN g.tgtype & 2 > 0 THEN 'before' WHEN g.tgtype & 64 > 0 THEN 'instead of' ELSE 'after' END,
            concat_ws(' or ', CASE WHEN g.tgtype & 4 > 0 THEN 'insert' END, CASE WHEN g.tgtype & 16 > 0 THEN 'update' END,
                CASE WHEN g.tgtype & 8 > 0 THEN 'delete' END, CASE WHEN g.tgtype & 32 > 0 THEN 'truncate' END),
            CASE WHEN g.tgtype & 1 > 0 THEN 'for each row' ELSE 'for each statement' END)) AS line
    FROM pg_trigger g WHERE g.tgrelid = $1 AND NOT g.tgisinternal AND g.tgenabled <> 'D'
    UNION ALL
    SELECT format('foreign key %s of %s: its rows follow when a row here is %s', quote_ident(k.conname),
        k.conrelid::regclass, concat_ws(' or ', CASE WHEN k.confdeltype IN ('c', 'n', 'd') THEN 'deleted' END,
            CASE WHEN k.confupdtype IN ('c', 'n', 'd') THEN 'given another key' END))
    FROM pg_constraint k
    WHERE k.confrelid = $1 AND k.contype = 'f' AND k.conparentid = 0
        AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))
    UNION ALL
    SELECT 'row-level security is on, but does not apply to this role'
    FROM pg_class c WHERE c.oid = $1 AND c.relrowsecurity AND NOT row_security_active(c.oid)
    UNION ALL
    SELECT 'partitioned by ' || pg_get_partkeydef(c.oid) FROM pg_class c WHERE c.oid = $1 AND c.relkind = 'p'
    UNION ALL
    SELECT 'a partition of ' || h.inhparent::regclass
    FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid WHERE h.inhrelid = $1 AND c.relispartition
    UNION ALL
    SELECT 'a deferrable primary key, by which rows cannot be found'
    FROM pg_index i WHERE i.indrelid = $1 AND i.indisprimary AND NOT i.indimmediate
    UNION ALL
    SELECT format('this role may not %s', p.privilege)
    FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) AS p (privilege)
    WHERE NOT has_table_privilege($1, p.privilege)
        AND (p.privilege = 'DELETE' OR NOT has_any_column_privilege($1, p.privilege))
), refusal AS (
    SELECT 1 AS rank, 'a table' AS expected, CASE c.relkind
        WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a materialised view' WHEN 'S' THEN 'a sequence'
        WHEN 'f' THEN 'a foreign table: its rows are on another server, where no transaction of this one reaches'
        WHEN 'i' THEN 'an index' WHEN 'I' THEN 'an index' WHEN 'c' THEN 'a composite type'
        ELSE 'a relation of kind ' || c.relkind::text END AS found
    FROM pg_class c WHERE c.oid = $1 AND c.relkind NOT IN ('r', 'p')
    UNION ALL
    SELECT 2, 'a table of the user', 'a table of the system or of these tools'
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = $1 AND (n.nspname IN ('pg_catalog', 'information_schema', 'pg_toast')
        OR c.relname IN ('ops_lineage', 'ops_change_runs', 'ops_change_batches'))
    UNION ALL
    SELECT 3, 'the right to SELECT every column', 'this role may not SELECT ' || string_agg(quote_ident(c.attname), ', ')
    FROM col c WHERE NOT has_column_privilege($1, c.attnum, 'SELECT') HAVING count(*) > 0
    UNION ALL
    SELECT 4, 'a role that sees every row', 'row-level security is active for this role'
    FROM pg_class c WHERE c.oid = $1 AND row_security_active(c.oid)
    UNION ALL
    SELECT 5, 'a table whose rows are its own', 'tables inherit from it: ' || string_agg(h.inhrelid::regclass::text, ', ')
    FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhparent
    WHERE h.inhparent = $1 AND c.relkind = 'r' HAVING count(*) > 0
    UNION ALL
    SELECT 6, 'a table without rules', 'rules that rewrite writes: ' || string_agg(quote_ident(r.rulename), ', ')
    FROM pg_rewrite r WHERE r.ev_class = $1 AND r.ev_type <> '1' AND r.ev_enabled <> 'D' HAVING count(*) > 0
    UNION ALL
    SELECT 7, 'a table with columns', 'none' WHERE NOT EXISTS (SELECT FROM col)
)
SELECT jsonb_build_object(
    'schema', n.nspname,
    'name', c.relname,
    'relkind', c.relkind,
    'primary_key', coalesce((SELECT k.names FROM keys k WHERE k.indisprimary), '[]'),
    'unique', coalesce((
        SELECT jsonb_agg(k.names ORDER BY k.names) FROM (SELECT DISTINCT names FROM keys WHERE NOT indisprimary) k), '[]'),
    'notes', coalesce((SELECT jsonb_agg(o.line ORDER BY o.line COLLATE "C") FROM note o), '[]'),
    'refusal', (
        SELECT jsonb_build_object('expected', r.expected, 'found', r.found) FROM refusal r ORDER BY r.rank LIMIT 1)
)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = $1
-- end of query
$catalogue$;

-- The relation of that name; along the search path when no schema is given. NULL when there is none.
CREATE OR REPLACE FUNCTION ops_change_relation(schema_name text, table_name text) RETURNS oid
LANGUAGE sql STABLE SET search_path FROM CURRENT
AS $relation$
SELECT to_regclass(concat_ws('.', quote_ident($1), quote_ident($2)))::oid
$relation$;

CREATE OR REPLACE FUNCTION ops_change_describe(table_name text, schema_name text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql STABLE SET search_path FROM CURRENT
AS $describe$
SELECT coalesce(
    ops_change_catalogue(r.oid) || jsonb_build_object('columns', (
        SELECT coalesce(jsonb_agg(to_jsonb(c)), '[]') FROM ops_change_columns(r.oid) c)),
    jsonb_build_object('missing', true, 'tables', (
        SELECT coalesce(jsonb_agg(t.name), '[]')
        FROM (SELECT concat_ws('.', n.nspname, c.relname) AS name
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
              ORDER BY 1 LIMIT 1000) t)))
FROM (SELECT ops_change_relation($2, $1) AS oid) r
$describe$;

CREATE OR REPLACE FUNCTION ops_change_begin(
    plan text, direction text, owner text, table_name text, schema_name text, at timestamptz, expires timestamptz
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET timezone = 'UTC'
SET datestyle = 'ISO'
AS $begin$
#variable_conflict use_column
DECLARE
    full_name text := concat_ws('.', schema_name, table_name);
    other record;
    run record;
BEGIN
    -- The letters `ops_chan`: of two that begin at once the second sees the first.
    PERFORM pg_advisory_xact_lock(x'6f70735f6368616e'::bit(64)::bigint);
    SELECT r.* INTO run FROM ops_change_runs r
    WHERE r.plan = ops_change_begin.plan AND r.direction = ops_change_begin.direction FOR UPDATE;
    IF run.table_name <> full_name THEN
        RETURN jsonb_build_object('lost', format('this run is about %s, not %s', run.table_name, full_name));
    ELSIF run.state = 'closed' THEN
        RETURN jsonb_build_object('next', run.next, 'closed', true);
    END IF;
    SELECT r.plan, r.lease_until INTO other FROM ops_change_runs r
    WHERE r.table_name = full_name AND r.owner <> ops_change_begin.owner AND r.lease_until > ops_change_begin.at
    LIMIT 1;
    IF FOUND THEN
        RETURN jsonb_build_object('lost', format('another runner holds the table %s for plan %s until %s',
            full_name, left(other.plan, 12), other.lease_until));
    END IF;
    -- A lease that ran out is taken over; whoever had it finds that it lost the table, whichever plan it is on.
    UPDATE ops_change_runs r SET owner = NULL, lease_until = NULL
    WHERE r.table_name = full_name AND r.owner <> ops_change_begin.owner;
    INSERT INTO ops_change_runs
    VALUES (ops_change_begin.plan, ops_change_begin.direction, full_name, ops_change_begin.owner, expires, 0, 'open',
        ops_change_begin.at)
    ON CONFLICT (plan, direction) DO UPDATE SET owner = excluded.owner, lease_until = excluded.lease_until;
    RETURN jsonb_build_object('next', coalesce(run.next, 0), 'closed', false);
END
$begin$;

-- Makes the changes at the positions `todo` and returns the outcomes that are not "applied as sent". A row that the
-- database refuses is an error, and then nothing was done.
--
-- No row can be overwritten that is not what the change says: the comparison is part of the UPDATE itself. Under READ
-- COMMITTED an UPDATE that finds its row locked waits, and then compares again with the row as it is by then.
CREATE OR REPLACE FUNCTION ops_change_set(
    relation oid, key_columns text[], columns text[], changes jsonb, todo bigint[]
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $set$
DECLARE
    -- The changes of some sorts that are still to be made. Written so that the planner expects many: for a few it would
    -- compare every row of a batch with every other.
    u constant text := $$WITH u AS MATERIALIZED (
        SELECT y.n, x.e->>0 AS what, x.e->1 AS b, x.e->2 AS a
        FROM unnest($2) AS y (n) JOIN jsonb_array_elements($1) WITH ORDINALITY AS x (e, n) ON x.n = y.n + 1
        WHERE strpos(%L, x.e->>0) > 0 %s) $$;
    summary constant text := $$ SELECT coalesce(array_agg(w.n), '{}'), coalesce(jsonb_agg(
        jsonb_build_object('at', w.n, 'is', 'applied', 'row', w.stored)) FILTER (WHERE w.stored IS NOT NULL), '[]') $$;
    f record;
    written record;
    given record;
    asked constant bigint[] := todo;
    everywhere constant int[] := ARRAY(SELECT generate_series(0, cardinality(columns) - 1));
    made bigint[];
    stored jsonb;
    inserted bigint;
    outcomes jsonb := '[]';
    passes int := 0;
BEGIN
    WITH x AS MATERIALIZED (
        SELECT x.e->>0 AS what, x.e->1 AS b, x.e->2 AS a
        FROM unnest(todo) AS y (n) JOIN jsonb_array_elements(changes) WITH ORDINALITY AS x (e, n) ON x.n = y.n + 1
    )
    SELECT bool_or(x.what = 'd') AS deletes, bool_or(x.what = 'i') AS inserts,
        bool_or(x.what = 'i' AND x.a @> 'false') AS defaults,
        ARRAY(
            SELECT v.i FROM unnest(everywhere) AS v (i)
            WHERE EXISTS (SELECT FROM x AS z WHERE z.what = 'u' AND z.b->v.i <> z.a->v.i)
        ) AS columns
    INTO written FROM x;
    SELECT
        (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.oid = relation) AS target,
        bool_or(b.has_echo) AS has_echo,
        count(*) AS found,
        count(*) FILTER (WHERE s.is_key) AS keys,
        array_agg(quote_ident(s.name) ORDER BY s.i) AS names,
        array_agg(format('(u.a->>%s)::%s', s.i, s.base) ORDER BY s.i) AS given,
        format('to_jsonb(ARRAY[%s])', string_agg(format('t.%I::text', s.name), ', ' ORDER BY s.i)) AS cells,
        string_agg(quote_ident(s.name), ', ') FILTER (WHERE s.is_key) AS key_names,
        string_agg(format('t.%I = (u.b->>%s)::%s', s.name, s.i, s.base), ' AND ') FILTER (WHERE s.is_key) AS key_before,
        string_agg(format('t.%I = (u.a->>%s)::%s', s.name, s.i, s.base), ' AND ') FILTER (WHERE s.is_key) AS key_after,
        string_agg(format('t.%I = (CASE u.what WHEN ''i'' THEN u.a ELSE u.b END->>%s)::%s', s.name, s.i, s.base), ' AND ')
            FILTER (WHERE s.is_key) AS key_either,
        string_agg(format(s.same, s.name, format('(u.b->>%s)', s.i), s.base), ' AND ' ORDER BY s.i) AS is_before,
        string_agg(format(s.same, s.name, format('(u.a->>%s)', s.i), s.base), ' AND ' ORDER BY s.i) AS is_after,
        -- The same of those columns whose values may be stored otherwise than they were sent.
        coalesce(string_agg(format(s.same, s.name, format('(u.a->>%s)', s.i), s.base), ' AND ' ORDER BY s.i)
            FILTER (WHERE b.changes_rows OR NOT s.is_exact), 'true') AS is_stored,
        string_agg(format('(u.a->%s = ''false'' OR %s)', s.i,
            format(s.same, s.name, format('(u.a->>%s)', s.i), s.base)), ' AND ' ORDER BY s.i) AS is_given,
        string_agg(format('%I = (u.a->>%s)::%s', s.name, s.i, s.base), ', ')
            FILTER (WHERE s.i = ANY (written.columns)) AS assignments
    INTO f
    FROM (
        -- `same` compares the column of t with the text that an expression gives.
        SELECT p.i::int - 1 AS i, c.name, c.base, c.name = ANY (key_columns) AS is_key,
            -- A length is no limit to blanks: what goes beyond it is cut off.
            c.kind IN ('bool', 'int', 'bytes') OR c.base = 'text' OR c.type = 'character varying' AS is_exact,
            CASE c.kind
                WHEN 'number' THEN 't.%1$I IS NOT DISTINCT FROM %2$s::numeric'
                WHEN 'real' THEN 't.%1$I::text IS NOT DISTINCT FROM %2$s::%3$s::text'
                ELSE 't.%1$I::text COLLATE "C" IS NOT DISTINCT FROM %2$s'
            END AS same
        FROM unnest(columns) WITH ORDINALITY AS p (name, i) JOIN ops_change_columns(relation) c USING (name)
        WHERE c.origin <> 'computed'
    ) s, (
        SELECT coalesce(bool_or(g.tgtype & 2 > 0), false) AS changes_rows, coalesce(bool_or(g.tgtype & 2 = 0), false) AS has_echo
        FROM pg_trigger g
        WHERE (g.tgrelid = relation OR g.tgrelid IN (SELECT p.relid FROM pg_partition_tree(relation) p))
            AND NOT g.tgisinternal AND g.tgenabled <> 'D'
    ) b;
    IF f.found <> cardinality(columns) OR f.keys <> cardinality(key_columns) OR f.keys = 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_column', MESSAGE = format('%s does not have these columns', f.target);
    END IF;
    -- Again only for rows that were not touched although they turn out to be as their change wants them: the second
    -- time they are locked.
    WHILE cardinality(todo) > 0 AND passes < 3 LOOP
        passes := passes + 1;
        IF written.deletes THEN
            EXECUTE format(u, 'd', '') || format(
                ', w AS (DELETE FROM %s AS t USING u WHERE %s AND %s RETURNING u.n, NULL::jsonb AS stored)',
                f.target, f.key_before, f.is_before) || summary || 'FROM w' INTO made, stored USING changes, todo;
            todo := ARRAY(SELECT unnest(todo) EXCEPT SELECT unnest(made));
        END IF;
        IF f.assignments IS NOT NULL THEN
            EXECUTE format(u, 'u', ' AND x.e->1 <> x.e->2') || format(
                ', w AS (UPDATE %s AS t SET %s FROM u WHERE %s AND %s'
                ' RETURNING u.n, CASE WHEN NOT (%s) THEN %s END AS stored)',
                f.target, f.assignments, f.key_before, f.is_before, f.is_stored, f.cells) || summary || 'FROM w'
            INTO made, stored USING changes, todo;
            outcomes := outcomes || stored;
            todo := ARRAY(SELECT unnest(todo) EXCEPT SELECT unnest(made));
        END IF;
        -- Rows that leave other columns to their defaults need other statements.
        FOR given IN
            SELECT g.rows AS rows, string_agg(f.names[i + 1], ', ' ORDER BY i) AS names,
                string_agg(f.given[i + 1], ', ' ORDER BY i) AS cells, count(*) < cardinality(columns) AS has_defaults
            FROM (
                SELECT s.places, array_agg(s.n) AS rows
                FROM (
                    SELECT y.n, CASE WHEN x.e->2 @> 'false' THEN ARRAY(
                        SELECT v.i::int - 1 FROM jsonb_array_elements(x.e->2) WITH ORDINALITY AS v (v, i)
                        WHERE v.v <> 'false' ORDER BY v.i
                    ) ELSE everywhere END AS places
                    FROM unnest(todo) AS y (n)
                    JOIN jsonb_array_elements(changes) WITH ORDINALITY AS x (e, n) ON x.n = y.n + 1
                    WHERE x.e->>0 = 'i'
                ) s WHERE written.defaults GROUP BY s.places
            ) g, unnest(g.places) AS i
            GROUP BY g.places, g.rows
            UNION ALL
            SELECT todo, array_to_string(f.names, ', '), array_to_string(f.given, ', '), false
            WHERE written.inserts AND NOT written.defaults
            ORDER BY rows
        LOOP
            EXECUTE format(u, 'i', '') || format(
                ', t AS (INSERT INTO %s AS t (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM u ORDER BY u.n'
                ' ON CONFLICT (%s) DO NOTHING RETURNING t.*)'
                ', w AS (SELECT u.n, CASE WHEN %L OR NOT (%s) THEN %s END AS stored FROM t JOIN u ON %s)',
                f.target, given.names, given.cells, f.key_names, given.has_defaults, f.is_stored, f.cells, f.key_after)
                || summary || ', (SELECT count(*) FROM t) FROM w'
            INTO made, stored, inserted USING changes, given.rows;
            IF cardinality(made) <> inserted THEN
                RAISE EXCEPTION USING ERRCODE = 'triggered_data_change_violation', MESSAGE = 'the row has another key';
            END IF;
            outcomes := outcomes || stored;
            todo := ARRAY(SELECT unnest(todo) EXCEPT SELECT unnest(made));
        END LOOP;
        EXIT WHEN cardinality(todo) = 0;
        -- What is there instead. Locking makes the answer true until the end of the transaction.
        EXECUTE format(u, 'dui', '') || format($$
            , w AS (
                SELECT u.n, u.what, t.there IS NOT NULL AS there, t.cells, t.is_before, t.is_given
                FROM u LEFT JOIN LATERAL (
                    SELECT true AS there, %s AS cells, %s AS is_before, %s AS is_given FROM %s AS t WHERE %s FOR UPDATE
                ) t ON true
            ), judged AS (
                SELECT w.n, w.cells, CASE
                    WHEN w.what = 'd' AND NOT w.there OR w.what <> 'd' AND w.is_given THEN 'already'
                    WHEN w.what <> 'i' AND w.is_before OR w.what = 'i' AND NOT w.there THEN 'again'
                    ELSE 'drifted' END AS is
                FROM w
            )
            SELECT coalesce(array_agg(j.n) FILTER (WHERE j.is = 'again'), '{}'),
                coalesce(jsonb_agg(CASE j.is WHEN 'already' THEN jsonb_build_object('at', j.n, 'is', j.is)
                    ELSE jsonb_build_object('at', j.n, 'is', j.is, 'row', j.cells) END)
                    FILTER (WHERE j.is <> 'again'), '[]')
            FROM judged j $$, f.cells, f.is_before, f.is_given, f.target, f.key_either)
        INTO todo, stored USING changes, todo;
        outcomes := outcomes || stored;
    END LOOP;
    outcomes := outcomes || coalesce((
        SELECT jsonb_agg(jsonb_build_object('at', n, 'is', 'failed', 'reason', 'a trigger did not let it happen'))
        FROM unnest(todo) AS n), '[]');
    -- Deferred constraints would fail at COMMIT, where no row can be named.
    SET CONSTRAINTS ALL IMMEDIATE;
    IF f.has_echo THEN
        -- Triggers that come after a row was stored may have changed it again.
        made := ARRAY(SELECT unnest(asked) EXCEPT
            SELECT (o->>'at')::bigint FROM jsonb_array_elements(outcomes) o WHERE o->>'is' <> 'applied');
        EXECUTE format(u, 'ui', '') || format($$
            , w AS (
                SELECT u.n, t.cells FROM u LEFT JOIN LATERAL (
                    SELECT %s AS cells, %s AND NOT jsonb_path_exists(u.a, '$[*] ? (@ == false)') AS is_after
                    FROM %s AS t WHERE %s
                ) t ON true WHERE t.is_after IS NOT true
            )
            SELECT jsonb_agg(jsonb_build_object('at', w.n, 'is',
                CASE WHEN w.cells IS NULL THEN 'drifted' ELSE 'applied' END, 'row', w.cells)) FROM w $$,
            f.cells, f.is_after, f.target, f.key_either)
        INTO stored USING changes, made;
        outcomes := coalesce(stored, '[]') || coalesce((
            SELECT jsonb_agg(o) FROM jsonb_array_elements(outcomes) o WHERE o->>'is' <> 'applied'), '[]');
    END IF;
    RETURN outcomes;
END
$set$;

-- Like ops_change_set, but a row that the database refuses becomes an outcome and the others are still changed: what
-- fails is halved until single rows are left.
CREATE OR REPLACE FUNCTION ops_change_try(
    relation oid, key_columns text[], columns text[], changes jsonb, todo bigint[]
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
AS $try$
DECLARE
    half int := cardinality(todo) / 2;
    code text;
    of_constraint text;
    of_column text;
BEGIN
    BEGIN
        RETURN ops_change_set(relation, key_columns, columns, changes, todo);
    EXCEPTION WHEN data_exception OR integrity_constraint_violation OR with_check_option_violation
        OR generated_always OR syntax_error OR undefined_object OR triggered_data_change_violation OR plpgsql_error THEN
        GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, of_constraint = CONSTRAINT_NAME, of_column = COLUMN_NAME;
    END;
    IF cardinality(todo) = 1 THEN
        RETURN jsonb_build_array(jsonb_build_object('at', todo[1], 'is', 'failed', 'reason', concat_ws(', ',
            'SQLSTATE ' || code, 'constraint ' || nullif(of_constraint, ''), 'column ' || nullif(of_column, ''))));
    END IF;
    RETURN ops_change_try(relation, key_columns, columns, changes, todo[:half])
        || ops_change_try(relation, key_columns, columns, changes, todo[half + 1:]);
END
$try$;

CREATE OR REPLACE FUNCTION ops_change_apply(
    plan text, direction text, owner text, table_name text, schema_name text, key_columns text[], columns text[],
    first bigint, changes jsonb, at timestamptz
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT
SET row_security = off
SET timezone = 'UTC'
SET datestyle = 'ISO'
SET intervalstyle = 'iso_8601'
SET bytea_output = 'hex'
SET extra_float_digits = 1
AS $apply$
#variable_conflict use_column
DECLARE
    count bigint := jsonb_array_length(changes);
    width int := cardinality(columns);
    keys constant int[] := ARRAY(SELECT array_position(columns, k.name) - 1 FROM unnest(key_columns) AS k (name));
    relation oid := ops_change_relation(schema_name, table_name);
    is_strange boolean;
    recorded record;
    outcomes jsonb;
    todo bigint[];
    tried jsonb;
    waiting bigint[];
BEGIN
    -- This lock holds off a runner that takes over, and a second request with the same batch.
    UPDATE ops_change_runs r SET next = greatest(r.next, ops_change_apply.first + count)
    WHERE r.plan = ops_change_apply.plan AND r.direction = ops_change_apply.direction
        AND r.owner = ops_change_apply.owner AND r.state = 'open'
        AND r.table_name = concat_ws('.', ops_change_apply.schema_name, ops_change_apply.table_name);
    IF NOT FOUND THEN
        RETURN jsonb_build_object('lost', 'this runner does not hold the table');
    END IF;
    SELECT b.rows, b.outcomes INTO recorded FROM ops_change_batches b
    WHERE b.plan = ops_change_apply.plan AND b.direction = ops_change_apply.direction
        AND b.first = ops_change_apply.first;
    IF FOUND THEN
        IF recorded.rows <> count THEN
            RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
                MESSAGE = format('the books have %s changes from position %s on, not %s', recorded.rows, first, count);
        END IF;
        RETURN jsonb_build_object('rows', count, 'outcomes', recorded.outcomes, 'repeated', true);
    END IF;
    IF relation IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'undefined_table', MESSAGE = format('there is no table %I.%I', schema_name, table_name);
    END IF;
    SELECT coalesce(bool_or(c.is_strange), false), coalesce(jsonb_agg(jsonb_build_object('at', c.n, 'is', 'failed', 'reason',
        CASE c.what WHEN 'i' THEN 'the key is not given' ELSE 'the change would give the row another key' END))
        FILTER (WHERE c.is_refused), '[]')
    INTO is_strange, outcomes
    FROM (
        SELECT x.n - 1 AS n, x.e->>0 AS what,
            CASE x.e->>0
                WHEN 'i' THEN jsonb_array_length(x.e->2) <> width
                WHEN 'u' THEN jsonb_array_length(x.e->1) <> width OR jsonb_array_length(x.e->2) <> width
                WHEN 'd' THEN jsonb_array_length(x.e->1) <> width
                ELSE true END IS NOT false AS is_strange,
            CASE x.e->>0
                WHEN 'i' THEN EXISTS (SELECT FROM unnest(keys) AS k (i) WHERE x.e->2->k.i IN ('null', 'false'))
                WHEN 'u' THEN EXISTS (SELECT FROM unnest(keys) AS k (i) WHERE x.e->1->k.i <> x.e->2->k.i)
                ELSE false END AS is_refused
        FROM jsonb_array_elements(changes) WITH ORDINALITY AS x (e, n)
    ) c;
    IF is_strange THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a change is not of the stated form';
    END IF;
    todo := ARRAY(SELECT generate_series(0, count - 1)
        EXCEPT SELECT (o->>'at')::bigint FROM jsonb_array_elements(outcomes) o ORDER BY 1);
    -- A refused row may have waited for another one: for a value that it gave up, for a parent.
    WHILE cardinality(todo) > 0 LOOP
        tried := ops_change_try(relation, key_columns, columns, changes, todo);
        waiting := ARRAY(SELECT (o->>'at')::bigint FROM jsonb_array_elements(tried) o
            WHERE o->>'is' = 'failed' AND o->>'reason' LIKE 'SQLSTATE 23%' ORDER BY 1);
        IF cardinality(waiting) = cardinality(todo) THEN
            waiting := '{}';
        END IF;
        outcomes := outcomes || coalesce((SELECT jsonb_agg(o) FROM jsonb_array_elements(tried) o
            WHERE (o->>'at')::bigint <> ALL (waiting)), '[]');
        todo := waiting;
    END LOOP;
    SELECT coalesce(jsonb_agg(o ORDER BY (o->>'at')::bigint), '[]') INTO outcomes FROM jsonb_array_elements(outcomes) o;
    INSERT INTO ops_change_batches
    VALUES (ops_change_apply.plan, ops_change_apply.direction, ops_change_apply.first, count, outcomes,
        ops_change_apply.at);
    RETURN jsonb_build_object('rows', count, 'outcomes', outcomes, 'repeated', false);
END
$apply$;

CREATE OR REPLACE FUNCTION ops_change_batch(jsonb) RETURNS jsonb
LANGUAGE sql VOLATILE SET search_path FROM CURRENT
AS $batch$
SELECT ops_change_apply($1->>'plan', $1->>'direction', $1->>'owner', $1->>'table_name', $1->>'schema_name',
    ARRAY(SELECT jsonb_array_elements_text($1->'key_columns')), ARRAY(SELECT jsonb_array_elements_text($1->'columns')),
    ($1->>'first')::bigint, $1->'changes', ($1->>'at')::timestamptz)
$batch$;

CREATE OR REPLACE FUNCTION ops_change_recorded(
    plan text, direction text, "position" bigint, batches_max bigint DEFAULT 1000
) RETURNS jsonb
LANGUAGE sql STABLE SET search_path FROM CURRENT
AS $recorded$
SELECT coalesce(jsonb_agg(jsonb_build_object('first', r.first, 'rows', r.rows, 'outcomes', r.outcomes) ORDER BY r.first), '[]')
FROM (
    SELECT b.first, b.rows, b.outcomes FROM ops_change_batches b
    WHERE b.plan = $1 AND b.direction = $2 AND b.first + b.rows > $3
    ORDER BY b.first LIMIT $4
) r
$recorded$;

CREATE OR REPLACE FUNCTION ops_change_renew(plan text, direction text, owner text, expires timestamptz) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $renew$
BEGIN
    UPDATE ops_change_runs r SET lease_until = $4
    WHERE r.plan = $1 AND r.direction = $2 AND r.owner = $3 AND r.state = 'open';
    RETURN CASE WHEN FOUND THEN '{"held": true}'::jsonb
        ELSE jsonb_build_object('lost', 'this runner does not hold the table') END;
END
$renew$;

CREATE OR REPLACE FUNCTION ops_change_close(plan text, direction text, owner text, is_done boolean) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $close$
BEGIN
    UPDATE ops_change_runs r SET owner = NULL, lease_until = NULL, state = CASE WHEN $4 THEN 'closed' ELSE r.state END
    WHERE r.plan = $1 AND r.direction = $2 AND r.owner = $3 AND r.state = 'open';
    RETURN CASE WHEN FOUND THEN '{"held": false}'::jsonb
        ELSE jsonb_build_object('lost', 'this runner does not hold the table') END;
END
$close$;

-- Supabase grants everything in an exposed schema to everybody by default; here that would be a way around every check.
DO $grants$
DECLARE
    role name;
    f regprocedure;
BEGIN
    FOR f IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace AND p.proname LIKE 'ops\_change\_%'
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
        FOR role IN SELECT r.rolname FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated') LOOP
            EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %I', f, role);
        END LOOP;
        IF EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'service_role') THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO service_role', f);
        END IF;
    END LOOP;
    FOR role IN SELECT r.rolname FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON ops_change_runs, ops_change_batches FROM %I', role);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'service_role') THEN
        GRANT SELECT, INSERT, UPDATE ON ops_change_runs, ops_change_batches TO service_role;
    END IF;
END
$grants$;
COMMIT;
NOTIFY pgrst, 'reload schema';
