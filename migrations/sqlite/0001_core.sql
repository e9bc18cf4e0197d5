-- The tables a drain works on: a run owns tiers, a tier owns phases, and every call of a model is billed.
--
-- A database may be fresh or may have been filled by earlier programs. Each table is therefore written in
-- its final form for the fresh one, and the columns that came later are added one by one for the other.
-- Both must behave alike: declared types, missing defaults and plain foreign keys are those of the
-- adopted databases, so that no cell changes its type and no statement works in only one of them.

CREATE TABLE IF NOT EXISTS runs (
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
    -- A text such as 'false', in spite of its name.
    promotion_eligible_to_main VARCHAR NOT NULL,
    debt_status VARCHAR,
    failure_reason TEXT,
    goal_anchor TEXT,
    PRIMARY KEY (id)
);

CREATE TABLE IF NOT EXISTS tiers (
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

CREATE TABLE IF NOT EXISTS phases (
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
    deployment_config JSON,
    PRIMARY KEY (id),
    FOREIGN KEY (run_id) REFERENCES runs (id),
    FOREIGN KEY (tier_id) REFERENCES tiers (id)
);

-- No foreign keys: a call is billed even when its run is unknown or was deleted.
CREATE TABLE IF NOT EXISTS llm_usage_events (
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
    -- Null in rows from before this column: their total is not known to be the sum of the two others.
    total_tokens INTEGER,
    client_id VARCHAR,
    phase_type VARCHAR,
    intent VARCHAR,
    PRIMARY KEY (id)
);

-- What an older database may lack. Rows that are there already need a value where none may be missing;
-- that, and no more, is what the defaults are for. Names, states, times and measured tokens are not in
-- this list: they cannot be made up, and a database without them is refused.
ALTER TABLE runs ADD COLUMN IF NOT EXISTS started_at DATETIME;
ALTER TABLE runs ADD COLUMN IF NOT EXISTS completed_at DATETIME;
ALTER TABLE runs ADD COLUMN IF NOT EXISTS safety_profile VARCHAR NOT NULL DEFAULT 'normal';
ALTER TABLE runs ADD COLUMN IF NOT EXISTS run_scope VARCHAR NOT NULL DEFAULT 'multi_tier';
ALTER TABLE runs ADD COLUMN IF NOT EXISTS token_cap INTEGER NOT NULL DEFAULT 5000000;
ALTER TABLE runs ADD COLUMN IF NOT EXISTS max_phases INTEGER NOT NULL DEFAULT 25;
ALTER TABLE runs ADD COLUMN IF NOT EXISTS max_duration_minutes INTEGER NOT NULL DEFAULT 120;
ALTER TABLE runs ADD COLUMN IF NOT EXISTS max_minor_issues_total INTEGER;
ALTER TABLE runs ADD COLUMN IF NOT EXISTS ci_runs_used INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN IF NOT EXISTS minor_issues_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN IF NOT EXISTS major_issues_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN IF NOT EXISTS promotion_eligible_to_main VARCHAR NOT NULL DEFAULT 'false';
ALTER TABLE runs ADD COLUMN IF NOT EXISTS debt_status VARCHAR;
ALTER TABLE runs ADD COLUMN IF NOT EXISTS failure_reason TEXT;
ALTER TABLE runs ADD COLUMN IF NOT EXISTS goal_anchor TEXT;

ALTER TABLE tiers ADD COLUMN IF NOT EXISTS description TEXT;
ALTER TABLE tiers ADD COLUMN IF NOT EXISTS token_cap INTEGER;
ALTER TABLE tiers ADD COLUMN IF NOT EXISTS ci_run_cap INTEGER;
ALTER TABLE tiers ADD COLUMN IF NOT EXISTS max_minor_issues_tolerated INTEGER;
ALTER TABLE tiers ADD COLUMN IF NOT EXISTS max_major_issues_tolerated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tiers ADD COLUMN IF NOT EXISTS ci_runs_used INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tiers ADD COLUMN IF NOT EXISTS minor_issues_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tiers ADD COLUMN IF NOT EXISTS major_issues_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tiers ADD COLUMN IF NOT EXISTS cleanliness VARCHAR NOT NULL DEFAULT 'clean';
ALTER TABLE tiers ADD COLUMN IF NOT EXISTS started_at DATETIME;
ALTER TABLE tiers ADD COLUMN IF NOT EXISTS completed_at DATETIME;

ALTER TABLE phases ADD COLUMN IF NOT EXISTS description TEXT;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS task_category VARCHAR;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS complexity VARCHAR;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS builder_mode VARCHAR;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS max_builder_attempts INTEGER;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS max_auditor_attempts INTEGER;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS incident_token_cap INTEGER;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS builder_attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS auditor_attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS minor_issues_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS major_issues_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS issue_state VARCHAR NOT NULL DEFAULT 'no_issues';
ALTER TABLE phases ADD COLUMN IF NOT EXISTS quality_level VARCHAR;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS quality_blocked BOOLEAN NOT NULL DEFAULT 0;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS started_at DATETIME;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS completed_at DATETIME;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS scope JSON;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS retry_attempt INTEGER NOT NULL DEFAULT 0;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS revision_epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS escalation_level INTEGER NOT NULL DEFAULT 0;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS last_attempt_timestamp DATETIME;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS last_failure_reason TEXT;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS phase_type VARCHAR;
ALTER TABLE phases ADD COLUMN IF NOT EXISTS deployment_config JSON;

ALTER TABLE llm_usage_events ADD COLUMN IF NOT EXISTS run_id VARCHAR;
ALTER TABLE llm_usage_events ADD COLUMN IF NOT EXISTS phase_id VARCHAR;
ALTER TABLE llm_usage_events ADD COLUMN IF NOT EXISTS is_doctor_call BOOLEAN NOT NULL DEFAULT 0;
ALTER TABLE llm_usage_events ADD COLUMN IF NOT EXISTS doctor_model TEXT;
ALTER TABLE llm_usage_events ADD COLUMN IF NOT EXISTS doctor_action TEXT;
ALTER TABLE llm_usage_events ADD COLUMN IF NOT EXISTS total_tokens INTEGER;
ALTER TABLE llm_usage_events ADD COLUMN IF NOT EXISTS client_id VARCHAR;
ALTER TABLE llm_usage_events ADD COLUMN IF NOT EXISTS phase_type VARCHAR;
ALTER TABLE llm_usage_events ADD COLUMN IF NOT EXISTS intent VARCHAR;

-- A phase is named by its run and its own id; without this key nothing may refer to that pair.
CREATE UNIQUE INDEX IF NOT EXISTS uq_phases_run_id_phase_id ON phases (run_id, phase_id);
-- Claiming the next phase and listing open runs must not read whole tables.
CREATE INDEX IF NOT EXISTS ix_phases_state_run_id_phase_index ON phases (state, run_id, phase_index);
CREATE INDEX IF NOT EXISTS ix_runs_state_created_at ON runs (state, created_at);
CREATE INDEX IF NOT EXISTS ix_phases_phase_id ON phases (phase_id);
CREATE INDEX IF NOT EXISTS ix_phases_tier_id ON phases (tier_id);
CREATE INDEX IF NOT EXISTS ix_tiers_run_id ON tiers (run_id);
CREATE INDEX IF NOT EXISTS ix_llm_usage_events_run_id ON llm_usage_events (run_id);
CREATE INDEX IF NOT EXISTS ix_llm_usage_events_created_at ON llm_usage_events (created_at);
