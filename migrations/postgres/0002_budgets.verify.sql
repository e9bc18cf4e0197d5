SELECT 'column ' || want.tab || '.' || want.col || ' is missing'
FROM (VALUES
    ('phase_leases', 'tokens_reserved'), ('token_budget_escalation_events', 'base_value'),
    ('token_budget_escalation_events', 'retry_max_tokens'), ('token_budget_escalation_events', 'attempt_index')
) AS want (tab, col)
WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = pg_catalog.to_regclass(want.tab) AND a.attname = want.col AND NOT a.attisdropped
);
