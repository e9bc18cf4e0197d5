-- One row per problem; any row undoes the migration.

SELECT 'column token_estimation_v2_events.features_json is missing'
WHERE NOT EXISTS (
    SELECT 1 FROM pragma_table_info('token_estimation_v2_events') WHERE name = 'features_json' COLLATE NOCASE
);
