-- Proves that change_functions.sql did what it says: the first thing that is not so is an error. It changes nothing.
-- Run it as the owner of the functions, with the same `schema`.
\set ON_ERROR_STOP on
\if :{?schema}
\else
    \set schema public
\endif
BEGIN;
SELECT set_config('search_path', concat_ws(', ', quote_ident(:'schema'), 'pg_temp'), true) AS search_path \gset

DO $verify$
DECLARE
    missing text;
    answer jsonb;
BEGIN
    SELECT string_agg(w.name, ', ') INTO missing
    FROM unnest(ARRAY['version', 'describe', 'begin', 'apply', 'recorded', 'renew', 'close']) AS w (name)
    WHERE NOT EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace
        AND p.proname = 'ops_change_' || w.name AND NOT p.prosecdef);
    ASSERT missing IS NULL, 'missing functions: ' || missing;

    SELECT string_agg(p.proname, ', ') INTO missing FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace AND p.proname LIKE 'ops\_change\_%'
        AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS c (line) WHERE c.line LIKE 'search_path=%pg_temp%');
    ASSERT missing IS NULL, 'functions without a pinned search path: ' || missing;

    SELECT string_agg(DISTINCT format('%s may execute %s', r.name, p.proname), ', ') INTO missing
    FROM pg_proc p CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
    CROSS JOIN LATERAL (SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS name) r
    WHERE p.pronamespace = current_schema()::regnamespace AND p.proname LIKE 'ops\_change\_%'
        AND r.name IN ('PUBLIC', 'anon', 'authenticated');
    ASSERT missing IS NULL, missing;

    SELECT string_agg(DISTINCT format('%s may %s %s', r.name, a.privilege_type, c.relname), ', ') INTO missing
    FROM pg_class c CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
    CROSS JOIN LATERAL (SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS name) r
    WHERE c.oid IN ('ops_change_runs'::regclass, 'ops_change_batches'::regclass)
        AND r.name IN ('PUBLIC', 'anon', 'authenticated');
    ASSERT missing IS NULL, missing;

    CREATE TABLE ops_change_verify (id integer PRIMARY KEY, value numeric(4, 1) DEFAULT 7);
    INSERT INTO ops_change_verify VALUES (1, 1), (2, 2);
    ASSERT ops_change_describe('ops_change_verify')->'primary_key' = '["id"]', 'a table is not described';
    PERFORM ops_change_begin('verify', 'apply', 'a', 'ops_change_verify', current_schema(), now(), now() + '1 min');
    answer := ops_change_begin('other', 'apply', 'b', 'ops_change_verify', current_schema(), now(), now() + '1 min');
    ASSERT answer ? 'lost', 'two runners hold one table';
    FOR i IN 1..2 LOOP
        answer := ops_change_apply('verify', 'apply', 'a', 'ops_change_verify', current_schema(), '{id}', '{id,value}', 0,
            '[["u", ["1", "1"], ["1", "1.25"]], ["u", ["2", "9"], ["2", "3"]], ["i", null, ["3", false]], ["d", ["4", "1"], null]]',
            now());
        ASSERT answer->'outcomes' = '[{"at": 0, "is": "applied", "row": ["1", "1.3"]}, {"at": 1, "is": "drifted", "row": ["2", "2.0"]},
            {"at": 2, "is": "applied", "row": ["3", "7.0"]}, {"at": 3, "is": "already"}]', 'wrong outcomes: ' || answer;
        ASSERT answer->'repeated' = to_jsonb(i = 2), 'a batch is applied twice';
    END LOOP;
    ASSERT (SELECT array_agg(value ORDER BY id) FROM ops_change_verify) = '{1.3, 2.0, 7.0}', 'wrong rows';
END
$verify$;
ROLLBACK;
