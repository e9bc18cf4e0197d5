-- One row per problem; any row undoes the migration.

WITH needed (tbl, col) AS (VALUES
    ('phases', 'samples_target'),
    ('phase_leases', 'phase_pk'), ('phase_leases', 'owner'), ('phase_leases', 'fencing_token'),
    ('phase_leases', 'claimed_at'), ('phase_leases', 'expires_at'),
    ('phase_attempts', 'attempt_id'), ('phase_attempts', 'run_id'), ('phase_attempts', 'phase_id'),
    ('phase_attempts', 'attempt'), ('phase_attempts', 'session_id'), ('phase_attempts', 'owner'),
    ('phase_attempts', 'fencing_token'), ('phase_attempts', 'outcome'), ('phase_attempts', 'reason'),
    ('phase_attempts', 'detail'), ('phase_attempts', 'outcome_source'), ('phase_attempts', 'verified'),
    ('phase_attempts', 'telemetry'), ('phase_attempts', 'event_id'), ('phase_attempts', 'started_at'),
    ('phase_attempts', 'finished_at')
)
SELECT 'column ' || tbl || '.' || col || ' is missing'
FROM needed
WHERE NOT EXISTS (
    SELECT 1 FROM pragma_table_info(needed.tbl) AS c WHERE c.name = needed.col COLLATE NOCASE
);

-- A claim of one phase must never be stored twice, nor one attempt.
SELECT 'table phase_leases is not keyed by phase'
WHERE NOT EXISTS (SELECT 1 FROM pragma_table_info('phase_leases') WHERE name = 'phase_pk' AND pk = 1);

SELECT 'table phase_attempts has no unique key (run_id, phase_id, attempt)'
WHERE NOT EXISTS (
    SELECT 1
    FROM pragma_index_list('phase_attempts') AS i
    WHERE i."unique" = 1
        AND 'run_id,phase_id,attempt' = (
            SELECT group_concat(name, ',')
            FROM (SELECT c.name FROM pragma_index_info(i.name) AS c ORDER BY c.seqno)
        )
);

SELECT 'table ' || tbl || ' has no foreign key to ' || parent
FROM (
    SELECT 'phase_leases' AS tbl, 'phases' AS parent
    UNION ALL SELECT 'phase_attempts', 'phases'
    UNION ALL SELECT 'phase_attempts', 'token_estimation_v2_events'
) AS needed
WHERE NOT EXISTS (
    SELECT 1 FROM pragma_foreign_key_list(needed.tbl) AS f WHERE f."table" = needed.parent
);
