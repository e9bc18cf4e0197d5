-- What budgets of tokens need: tokens that calls under way may take, and budgets that were raised.

-- Tokens that the holder of a lease has set aside before it asks a model. They count against the cap of the run as long as
-- the lease is held, for every process that shares the run.
ALTER TABLE phase_leases ADD COLUMN IF NOT EXISTS tokens_reserved INTEGER NOT NULL DEFAULT 0;

-- One row per phase whose answer did not fit: what the budget was, why it was raised, and to what. The next attempt at the
-- phase begins with it.
CREATE TABLE IF NOT EXISTS token_budget_escalation_events (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL,
    phase_id TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    -- The attempt whose answer did not fit, from 1.
    attempt_index INTEGER NOT NULL,
    -- `truncation`, or `utilization`: the answer came close to its ceiling and was of no use.
    reason TEXT NOT NULL,
    was_truncated BOOLEAN NOT NULL,
    -- Output tokens in percent of the ceiling.
    output_utilization REAL,
    escalation_factor REAL NOT NULL,
    base_value INTEGER NOT NULL,
    -- Which of the three numbers below the base is.
    base_source TEXT NOT NULL,
    retry_max_tokens INTEGER NOT NULL,
    selected_budget INTEGER NOT NULL,
    actual_max_tokens INTEGER,
    tokens_used INTEGER,
    FOREIGN KEY (run_id, phase_id) REFERENCES phases (run_id, phase_id) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS ix_token_budget_escalation_events_phase
    ON token_budget_escalation_events (run_id, phase_id);
