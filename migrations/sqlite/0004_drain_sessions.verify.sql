-- One row per problem; any row undoes the migration.

WITH needed (tbl, col) AS (VALUES
    ('phase_leases', 'prior_state'), ('phase_attempts', 'zero_yield'), ('phase_attempts', 'milestones'),
    ('phase_attempts', 'fingerprint'), ('phase_attempts', 'fingerprint_version'),
    ('phase_attempts', 'fingerprint_detail')
)
SELECT 'column ' || tbl || '.' || col || ' is missing'
FROM needed
WHERE NOT EXISTS (
    SELECT 1 FROM pragma_table_info(needed.tbl) AS c WHERE c.name = needed.col COLLATE NOCASE
);
