-- One row per problem; any row undoes the migration.

WITH needed (tbl, col) AS (VALUES
    ('phase_leases', 'tokens_reserved'), ('token_budget_escalation_events', 'base_value'),
    ('token_budget_escalation_events', 'base_source'), ('token_budget_escalation_events', 'retry_max_tokens'),
    ('token_budget_escalation_events', 'selected_budget'), ('token_budget_escalation_events', 'tokens_used'),
    ('token_budget_escalation_events', 'output_utilization'), ('token_budget_escalation_events', 'attempt_index')
)
SELECT 'column ' || tbl || '.' || col || ' is missing'
FROM needed
WHERE NOT EXISTS (
    SELECT 1 FROM pragma_table_info(needed.tbl) AS c WHERE c.name = needed.col COLLATE NOCASE
);
