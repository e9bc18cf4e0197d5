-- Tables of the same names that somebody else made keep their shape: what a drain needs of them must be there.
SELECT 'column ' || want.tab || '.' || want.col || ' is missing'
FROM (VALUES
    ('runs', 'tokens_used'), ('tiers', 'tier_index'), ('phases', 'samples_target'), ('phases', 'scope'),
    ('phases', 'last_failure_reason'), ('phase_leases', 'prior_state'), ('phase_leases', 'expires_at'),
    ('phase_attempts', 'fingerprint_detail'), ('phase_attempts', 'zero_yield'),
    ('token_estimation_v2_events', 'features_json'), ('token_estimation_v2_events', 'actual_max_tokens')
) AS want (tab, col)
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = pg_catalog.to_regclass(want.tab) AND a.attname = want.col AND NOT a.attisdropped
);
SELECT 'phases has two rows of one key' FROM phases GROUP BY run_id, phase_id HAVING count(*) > 1 LIMIT 1;
