-- One row per call of a model: what the estimator predicted, what was used, how it ended.
--
-- Older databases hold this table in several forms: a CHECK that knows 'critical' and not 'maintenance'
-- (rows of maintenance phases were lost to it), a foreign key to phase_id alone, fewer columns. SQLite
-- cannot change a constraint, so the table is rebuilt. Every column is copied by name, whichever they
-- are, and the cells stay as they were, so that applying this file again loses nothing.

-- A fresh database takes the same way as an old one: this is what gets rebuilt.
CREATE TABLE IF NOT EXISTS token_estimation_v2_events (event_id INTEGER PRIMARY KEY AUTOINCREMENT);

-- The older forms of these views call an average a median.
DROP VIEW IF EXISTS v_token_estimation_validation;
DROP VIEW IF EXISTS v_recent_token_estimations;

CREATE TABLE token_estimation_v2_events__new (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL,
    phase_id TEXT NOT NULL,
    timestamp TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    category TEXT NOT NULL,
    complexity TEXT NOT NULL,
    deliverable_count INTEGER NOT NULL,
    deliverables_json TEXT NOT NULL,
    predicted_output_tokens INTEGER NOT NULL,
    actual_output_tokens INTEGER NOT NULL,
    selected_budget INTEGER NOT NULL,
    success BOOLEAN NOT NULL,
    truncated BOOLEAN NOT NULL DEFAULT 0,
    stop_reason TEXT,
    model TEXT NOT NULL,
    -- Percent as a float, 18.18 and not 18. Stored for older readers; tools compute it anew.
    smape_percent REAL,
    -- Ratio as a float, 1.5 and not 150.
    waste_ratio REAL,
    underestimated BOOLEAN,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    -- Says the same as `truncated`, or should; both are kept because they disagree in old rows.
    is_truncated_output BOOLEAN NOT NULL DEFAULT FALSE,
    api_reference_required BOOLEAN,
    examples_required BOOLEAN,
    research_required BOOLEAN,
    usage_guide_required BOOLEAN,
    context_quality VARCHAR,
    -- The ceiling that was really sent. Stays null where it was not recorded: filling it from
    -- selected_budget would make the coverage of this column read 100 %.
    actual_max_tokens INTEGER,
    is_sot_file BOOLEAN,
    sot_file_name TEXT,
    sot_entry_count_hint INTEGER,
    -- Provenance: without it, evidence cannot be replayed and may be used twice.
    estimator_version TEXT,
    coefficient_digest TEXT,
    attempt INTEGER,
    input_tokens INTEGER,
    outcome_source TEXT,
    -- A row of another complexity stops this migration at the copy below. It is not relabelled here:
    -- which of the four it was is for someone who knows the phase to say.
    CONSTRAINT token_estimation_v2_events_complexity_known
        CHECK (complexity IN ('low', 'medium', 'high', 'maintenance')),
    FOREIGN KEY (run_id) REFERENCES runs (id) ON DELETE CASCADE,
    FOREIGN KEY (run_id, phase_id) REFERENCES phases (run_id, phase_id) ON DELETE CASCADE
);

INSERT INTO token_estimation_v2_events__new BY NAME SELECT * FROM token_estimation_v2_events;

-- An event id is never given out twice, also when the newest rows have been deleted: the new table goes
-- on counting where the old one stopped, and not at its highest row.
DELETE FROM sqlite_sequence
WHERE name = 'token_estimation_v2_events__new'
    AND EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'token_estimation_v2_events');
INSERT INTO sqlite_sequence (name, seq)
SELECT 'token_estimation_v2_events__new', seq FROM sqlite_sequence WHERE name = 'token_estimation_v2_events';

DROP TABLE token_estimation_v2_events;
ALTER TABLE token_estimation_v2_events__new RENAME TO token_estimation_v2_events;

CREATE INDEX IF NOT EXISTS ix_token_estimation_v2_run_id ON token_estimation_v2_events (run_id);
CREATE INDEX IF NOT EXISTS ix_token_estimation_v2_phase_id ON token_estimation_v2_events (phase_id);
CREATE INDEX IF NOT EXISTS ix_token_estimation_v2_timestamp ON token_estimation_v2_events (timestamp DESC);
CREATE INDEX IF NOT EXISTS ix_token_estimation_v2_category ON token_estimation_v2_events (category);
CREATE INDEX IF NOT EXISTS ix_token_estimation_v2_complexity ON token_estimation_v2_events (complexity);
CREATE INDEX IF NOT EXISTS ix_token_estimation_v2_success ON token_estimation_v2_events (success);
CREATE INDEX IF NOT EXISTS ix_token_estimation_v2_truncated
    ON token_estimation_v2_events (truncated) WHERE truncated = 1;
CREATE INDEX IF NOT EXISTS ix_token_estimation_v2_underestimated
    ON token_estimation_v2_events (underestimated) WHERE underestimated = 1;
CREATE INDEX IF NOT EXISTS ix_token_estimation_v2_category_complexity
    ON token_estimation_v2_events (category, complexity);
CREATE INDEX IF NOT EXISTS ix_token_estimation_v2_deliverable_count
    ON token_estimation_v2_events (deliverable_count);

-- Averages are called averages; SQLite has no median, so there is none here.
CREATE VIEW v_token_estimation_validation AS
SELECT
    category,
    complexity,
    deliverable_count,
    COUNT(*) AS sample_count,
    COUNT(*) FILTER (WHERE success = 1) AS success_count,
    ROUND(AVG(smape_percent), 2) AS avg_smape,
    ROUND(AVG(smape_percent) FILTER (WHERE success = 1), 2) AS avg_smape_success_only,
    ROUND(AVG(waste_ratio), 2) AS avg_waste_ratio,
    ROUND(AVG(waste_ratio) FILTER (WHERE success = 1), 2) AS avg_waste_ratio_success_only,
    COUNT(*) FILTER (WHERE underestimated = 1) AS underestimation_count,
    ROUND(COUNT(*) FILTER (WHERE underestimated = 1) * 100.0 / COUNT(*), 2) AS underestimation_rate_pct,
    COUNT(*) FILTER (WHERE truncated = 1) AS truncation_count,
    ROUND(COUNT(*) FILTER (WHERE truncated = 1) * 100.0 / COUNT(*), 2) AS truncation_rate_pct,
    ROUND(AVG(predicted_output_tokens), 0) AS avg_predicted,
    ROUND(AVG(actual_output_tokens), 0) AS avg_actual
FROM token_estimation_v2_events
GROUP BY category, complexity, deliverable_count
ORDER BY sample_count DESC;

CREATE VIEW v_recent_token_estimations AS
SELECT
    event_id,
    run_id,
    phase_id,
    timestamp,
    category,
    complexity,
    deliverable_count,
    predicted_output_tokens,
    actual_output_tokens,
    selected_budget,
    actual_max_tokens,
    success,
    truncated,
    stop_reason,
    model,
    ROUND(smape_percent, 2) AS smape_percent,
    ROUND(waste_ratio, 2) AS waste_ratio,
    underestimated
FROM token_estimation_v2_events
ORDER BY timestamp DESC, event_id DESC
LIMIT 100;
