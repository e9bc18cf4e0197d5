-- One row per problem; any row undoes the migration.

WITH needed (col) AS (VALUES
    ('event_id'), ('run_id'), ('phase_id'), ('timestamp'), ('category'), ('complexity'),
    ('deliverable_count'), ('deliverables_json'), ('predicted_output_tokens'), ('actual_output_tokens'),
    ('selected_budget'), ('success'), ('truncated'), ('stop_reason'), ('model'), ('smape_percent'),
    ('waste_ratio'), ('underestimated'), ('created_at'), ('is_truncated_output'),
    ('api_reference_required'), ('examples_required'), ('research_required'), ('usage_guide_required'),
    ('context_quality'), ('actual_max_tokens'), ('is_sot_file'), ('sot_file_name'),
    ('sot_entry_count_hint'), ('estimator_version'), ('coefficient_digest'), ('attempt'),
    ('input_tokens'), ('outcome_source')
)
SELECT 'column token_estimation_v2_events.' || col || ' is missing'
FROM needed
WHERE NOT EXISTS (
    SELECT 1 FROM pragma_table_info('token_estimation_v2_events') AS c
    WHERE c.name = needed.col COLLATE NOCASE
);

SELECT 'token_estimation_v2_events has no foreign key (' || cols || ') to ' || parent || ' that cascades'
FROM (SELECT 'run_id' AS cols, 'runs' AS parent UNION ALL SELECT 'run_id,phase_id', 'phases') AS needed
WHERE NOT EXISTS (
    SELECT 1
    FROM pragma_foreign_key_list('token_estimation_v2_events') AS f
    WHERE f."table" = needed.parent
        AND f.on_delete = 'CASCADE'
        AND needed.cols = (
            SELECT group_concat("from", ',')
            FROM (
                SELECT g."from"
                FROM pragma_foreign_key_list('token_estimation_v2_events') AS g
                WHERE g.id = f.id
                ORDER BY g.seq
            )
        )
);

SELECT 'token_estimation_v2_events does not check its complexity'
WHERE NOT EXISTS (
    SELECT 1 FROM sqlite_schema
    WHERE type = 'table' AND name = 'token_estimation_v2_events'
        AND sql LIKE '%CONSTRAINT token_estimation_v2_events_complexity_known%'
        AND sql LIKE '%(''low'', ''medium'', ''high'', ''maintenance'')%'
        AND sql NOT LIKE '%critical%'
);

SELECT 'token_estimation_v2_events gives event ids out again'
WHERE NOT EXISTS (
    SELECT 1 FROM sqlite_schema
    WHERE type = 'table' AND name = 'token_estimation_v2_events' AND sql LIKE '%AUTOINCREMENT%'
);

SELECT 'column token_estimation_v2_events.' || name || ' is ' || type || ' and not REAL'
FROM pragma_table_info('token_estimation_v2_events')
WHERE name IN ('smape_percent', 'waste_ratio') AND type <> 'REAL';

SELECT 'table token_estimation_v2_events__new is left over'
FROM sqlite_schema WHERE name = 'token_estimation_v2_events__new';

SELECT 'view ' || name || ' is missing'
FROM (SELECT 'v_token_estimation_validation' AS name UNION ALL SELECT 'v_recent_token_estimations') AS needed
WHERE NOT EXISTS (SELECT 1 FROM sqlite_schema AS s WHERE s.type = 'view' AND s.name = needed.name);

SELECT 'column v_token_estimation_validation.' || name || ' is no median'
FROM pragma_table_info('v_token_estimation_validation')
WHERE name LIKE '%median%';
