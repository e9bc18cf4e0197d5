CREATE TABLE llm_usage_events (
    id INTEGER NOT NULL,
    provider VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    run_id VARCHAR,
    phase_id VARCHAR,
    role VARCHAR NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    created_at DATETIME NOT NULL,
    is_doctor_call BOOLEAN NOT NULL DEFAULT 0,
    doctor_model TEXT,
    doctor_action TEXT,
    total_tokens INTEGER,
    client_id VARCHAR,
    phase_type VARCHAR,
    intent VARCHAR,
    PRIMARY KEY (id)
);

CREATE INDEX ix_llm_usage_events_created_at ON llm_usage_events (created_at);

CREATE INDEX ix_llm_usage_events_run_id ON llm_usage_events (run_id);

CREATE TABLE ops_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    canonical_sql TEXT NOT NULL,
    applied_at TEXT NOT NULL,
    tool_version TEXT NOT NULL
);

CREATE TABLE phase_attempts (
    attempt_id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL,
    phase_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    session_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    fencing_token INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    detail TEXT,
    outcome_source TEXT NOT NULL,
    verified BOOLEAN NOT NULL,
    telemetry TEXT NOT NULL,
    event_id INTEGER REFERENCES token_estimation_v2_events (event_id),
    started_at TEXT NOT NULL,
    finished_at TEXT NOT NULL, zero_yield TEXT, milestones TEXT, fingerprint TEXT, fingerprint_version INTEGER, fingerprint_detail TEXT,
    UNIQUE (run_id, phase_id, attempt),
    FOREIGN KEY (run_id, phase_id) REFERENCES phases (run_id, phase_id) ON DELETE CASCADE
);

CREATE INDEX ix_phase_attempts_event_id ON phase_attempts (event_id);

CREATE INDEX ix_phase_attempts_session_id ON phase_attempts (session_id);

CREATE TABLE phase_leases (
    phase_pk INTEGER PRIMARY KEY REFERENCES phases (id) ON DELETE CASCADE,
    owner TEXT,
    fencing_token INTEGER NOT NULL,
    claimed_at TEXT,
    expires_at TEXT
, prior_state TEXT, tokens_reserved INTEGER NOT NULL DEFAULT 0);

CREATE TABLE phases (
    id INTEGER NOT NULL,
    phase_id VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    tier_id INTEGER NOT NULL,
    phase_index INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    description TEXT,
    state VARCHAR(10) NOT NULL,
    task_category VARCHAR,
    complexity VARCHAR,
    builder_mode VARCHAR,
    max_builder_attempts INTEGER,
    max_auditor_attempts INTEGER,
    incident_token_cap INTEGER,
    builder_attempts INTEGER NOT NULL,
    auditor_attempts INTEGER NOT NULL,
    tokens_used INTEGER NOT NULL,
    minor_issues_count INTEGER NOT NULL,
    major_issues_count INTEGER NOT NULL,
    issue_state VARCHAR NOT NULL,
    quality_level VARCHAR,
    quality_blocked BOOLEAN NOT NULL,
    created_at DATETIME NOT NULL,
    updated_at DATETIME NOT NULL,
    started_at DATETIME,
    completed_at DATETIME,
    scope JSON,
    retry_attempt INTEGER NOT NULL DEFAULT 0,
    revision_epoch INTEGER NOT NULL DEFAULT 0,
    escalation_level INTEGER NOT NULL DEFAULT 0,
    last_attempt_timestamp DATETIME,
    last_failure_reason TEXT,
    phase_type VARCHAR,
    deployment_config JSON, samples_target INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (id),
    FOREIGN KEY (run_id) REFERENCES runs (id),
    FOREIGN KEY (tier_id) REFERENCES tiers (id)
);

CREATE INDEX ix_phases_phase_id ON phases (phase_id);

CREATE INDEX ix_phases_state_run_id_phase_index ON phases (state, run_id, phase_index);

CREATE INDEX ix_phases_tier_id ON phases (tier_id);

CREATE UNIQUE INDEX uq_phases_run_id_phase_id ON phases (run_id, phase_id);

CREATE TABLE runs (
    id VARCHAR NOT NULL,
    state VARCHAR(33) NOT NULL,
    created_at DATETIME NOT NULL,
    updated_at DATETIME NOT NULL,
    started_at DATETIME,
    completed_at DATETIME,
    safety_profile VARCHAR NOT NULL,
    run_scope VARCHAR NOT NULL,
    token_cap INTEGER NOT NULL,
    max_phases INTEGER NOT NULL,
    max_duration_minutes INTEGER NOT NULL,
    max_minor_issues_total INTEGER,
    tokens_used INTEGER NOT NULL,
    ci_runs_used INTEGER NOT NULL,
    minor_issues_count INTEGER NOT NULL,
    major_issues_count INTEGER NOT NULL,
    promotion_eligible_to_main VARCHAR NOT NULL,
    debt_status VARCHAR,
    failure_reason TEXT,
    goal_anchor TEXT,
    PRIMARY KEY (id)
);

CREATE INDEX ix_runs_state_created_at ON runs (state, created_at);

CREATE TABLE tiers (
    id INTEGER NOT NULL,
    tier_id VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    tier_index INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    description TEXT,
    state VARCHAR(11) NOT NULL,
    token_cap INTEGER,
    ci_run_cap INTEGER,
    max_minor_issues_tolerated INTEGER,
    max_major_issues_tolerated INTEGER NOT NULL,
    tokens_used INTEGER NOT NULL,
    ci_runs_used INTEGER NOT NULL,
    minor_issues_count INTEGER NOT NULL,
    major_issues_count INTEGER NOT NULL,
    cleanliness VARCHAR NOT NULL,
    created_at DATETIME NOT NULL,
    updated_at DATETIME NOT NULL,
    started_at DATETIME,
    completed_at DATETIME,
    PRIMARY KEY (id),
    FOREIGN KEY (run_id) REFERENCES runs (id)
);

CREATE INDEX ix_tiers_run_id ON tiers (run_id);

CREATE TABLE token_budget_escalation_events (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL,
    phase_id TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    attempt_index INTEGER NOT NULL,
    reason TEXT NOT NULL,
    was_truncated BOOLEAN NOT NULL,
    output_utilization REAL,
    escalation_factor REAL NOT NULL,
    base_value INTEGER NOT NULL,
    base_source TEXT NOT NULL,
    retry_max_tokens INTEGER NOT NULL,
    selected_budget INTEGER NOT NULL,
    actual_max_tokens INTEGER,
    tokens_used INTEGER,
    FOREIGN KEY (run_id, phase_id) REFERENCES phases (run_id, phase_id) ON DELETE CASCADE
);

CREATE INDEX ix_token_budget_escalation_events_phase
    ON token_budget_escalation_events (run_id, phase_id);

CREATE TABLE "token_estimation_v2_events" (
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
    smape_percent REAL,
    waste_ratio REAL,
    underestimated BOOLEAN,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    is_truncated_output BOOLEAN NOT NULL DEFAULT FALSE,
    api_reference_required BOOLEAN,
    examples_required BOOLEAN,
    research_required BOOLEAN,
    usage_guide_required BOOLEAN,
    context_quality VARCHAR,
    actual_max_tokens INTEGER,
    is_sot_file BOOLEAN,
    sot_file_name TEXT,
    sot_entry_count_hint INTEGER,
    estimator_version TEXT,
    coefficient_digest TEXT,
    attempt INTEGER,
    input_tokens INTEGER,
    outcome_source TEXT, "features_json" TEXT,
    CONSTRAINT token_estimation_v2_events_complexity_known
        CHECK (complexity IN ('low', 'medium', 'high', 'maintenance')),
    FOREIGN KEY (run_id) REFERENCES runs (id) ON DELETE CASCADE,
    FOREIGN KEY (run_id, phase_id) REFERENCES phases (run_id, phase_id) ON DELETE CASCADE
);

CREATE INDEX ix_token_estimation_v2_category ON token_estimation_v2_events (category);

CREATE INDEX ix_token_estimation_v2_category_complexity
    ON token_estimation_v2_events (category, complexity);

CREATE INDEX ix_token_estimation_v2_complexity ON token_estimation_v2_events (complexity);

CREATE INDEX ix_token_estimation_v2_deliverable_count
    ON token_estimation_v2_events (deliverable_count);

CREATE INDEX ix_token_estimation_v2_phase_id ON token_estimation_v2_events (phase_id);

CREATE INDEX ix_token_estimation_v2_run_id ON token_estimation_v2_events (run_id);

CREATE INDEX ix_token_estimation_v2_success ON token_estimation_v2_events (success);

CREATE INDEX ix_token_estimation_v2_timestamp ON token_estimation_v2_events (timestamp DESC);

CREATE INDEX ix_token_estimation_v2_truncated
    ON token_estimation_v2_events (truncated) WHERE truncated = 1;

CREATE INDEX ix_token_estimation_v2_underestimated
    ON token_estimation_v2_events (underestimated) WHERE underestimated = 1;

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
