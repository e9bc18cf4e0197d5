-- One row per problem; any row undoes the migration.

WITH needed (tbl, col) AS (VALUES
    ('runs', 'id'), ('runs', 'state'), ('runs', 'created_at'), ('runs', 'updated_at'),
    ('runs', 'started_at'), ('runs', 'completed_at'), ('runs', 'safety_profile'), ('runs', 'run_scope'),
    ('runs', 'token_cap'), ('runs', 'max_phases'), ('runs', 'max_duration_minutes'),
    ('runs', 'max_minor_issues_total'), ('runs', 'tokens_used'), ('runs', 'ci_runs_used'),
    ('runs', 'minor_issues_count'), ('runs', 'major_issues_count'),
    ('runs', 'promotion_eligible_to_main'), ('runs', 'debt_status'), ('runs', 'failure_reason'),
    ('runs', 'goal_anchor'), ('tiers', 'id'), ('tiers', 'tier_id'), ('tiers', 'run_id'),
    ('tiers', 'tier_index'), ('tiers', 'name'), ('tiers', 'description'), ('tiers', 'state'),
    ('tiers', 'token_cap'), ('tiers', 'ci_run_cap'), ('tiers', 'max_minor_issues_tolerated'),
    ('tiers', 'max_major_issues_tolerated'), ('tiers', 'tokens_used'), ('tiers', 'ci_runs_used'),
    ('tiers', 'minor_issues_count'), ('tiers', 'major_issues_count'), ('tiers', 'cleanliness'),
    ('tiers', 'created_at'), ('tiers', 'updated_at'), ('tiers', 'started_at'), ('tiers', 'completed_at'),
    ('phases', 'id'), ('phases', 'phase_id'), ('phases', 'run_id'), ('phases', 'tier_id'),
    ('phases', 'phase_index'), ('phases', 'name'), ('phases', 'description'), ('phases', 'state'),
    ('phases', 'task_category'), ('phases', 'complexity'), ('phases', 'builder_mode'),
    ('phases', 'max_builder_attempts'), ('phases', 'max_auditor_attempts'),
    ('phases', 'incident_token_cap'), ('phases', 'builder_attempts'), ('phases', 'auditor_attempts'),
    ('phases', 'tokens_used'), ('phases', 'minor_issues_count'), ('phases', 'major_issues_count'),
    ('phases', 'issue_state'), ('phases', 'quality_level'), ('phases', 'quality_blocked'),
    ('phases', 'created_at'), ('phases', 'updated_at'), ('phases', 'started_at'),
    ('phases', 'completed_at'), ('phases', 'scope'), ('phases', 'retry_attempt'),
    ('phases', 'revision_epoch'), ('phases', 'escalation_level'), ('phases', 'last_attempt_timestamp'),
    ('phases', 'last_failure_reason'), ('phases', 'phase_type'), ('phases', 'deployment_config'),
    ('llm_usage_events', 'id'), ('llm_usage_events', 'provider'), ('llm_usage_events', 'model'),
    ('llm_usage_events', 'run_id'), ('llm_usage_events', 'phase_id'), ('llm_usage_events', 'role'),
    ('llm_usage_events', 'prompt_tokens'), ('llm_usage_events', 'completion_tokens'),
    ('llm_usage_events', 'created_at'), ('llm_usage_events', 'is_doctor_call'),
    ('llm_usage_events', 'doctor_model'), ('llm_usage_events', 'doctor_action'),
    ('llm_usage_events', 'total_tokens'), ('llm_usage_events', 'client_id'),
    ('llm_usage_events', 'phase_type'), ('llm_usage_events', 'intent')
)
SELECT 'column ' || tbl || '.' || col || ' is missing'
FROM needed
WHERE NOT EXISTS (
    SELECT 1 FROM pragma_table_info(needed.tbl) AS c WHERE c.name = needed.col COLLATE NOCASE
);

-- An index of the expected name may be there and still be another index; look at what it covers.
WITH needed (tbl, is_unique, cols) AS (VALUES
    ('phases', 1, 'run_id,phase_id'),
    ('phases', 0, 'state,run_id,phase_index'),
    ('runs', 0, 'state,created_at')
)
SELECT 'table ' || tbl || ' has no ' || iif(is_unique, 'unique ', '') || 'index on (' || cols || ')'
FROM needed
WHERE NOT EXISTS (
    SELECT 1
    FROM pragma_index_list(needed.tbl) AS i
    WHERE i."unique" >= needed.is_unique
        AND i.partial = 0
        AND needed.cols = (
            SELECT group_concat(name, ',')
            FROM (SELECT lower(c.name) AS name FROM pragma_index_info(i.name) AS c ORDER BY c.seqno)
        )
);
