-- What a drain needs: how often to sample a phase, who works on it now, and what became of each attempt.

-- How many events a phase is meant to yield: seeded phases ask for several, a backlog phase for one.
ALTER TABLE phases ADD COLUMN IF NOT EXISTS samples_target INTEGER NOT NULL DEFAULT 1;

-- Who may work on a phase, one row per phase that was ever claimed. The row stays when the lease is free:
-- the fencing token only ever grows, and a worker that comes back late with an older one is turned away.
CREATE TABLE IF NOT EXISTS phase_leases (
    phase_pk INTEGER PRIMARY KEY REFERENCES phases (id) ON DELETE CASCADE,
    owner TEXT,
    fencing_token INTEGER NOT NULL,
    claimed_at TEXT,
    expires_at TEXT
);

-- One row per finished attempt, written in the transaction that changes the phase. Yield is counted from
-- here: an attempt without an event says why in `telemetry`, so that "none" is never taken for "unknown".
CREATE TABLE IF NOT EXISTS phase_attempts (
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
    -- Who says so: an outcome that the executor reports about itself is not a verified one.
    outcome_source TEXT NOT NULL,
    verified BOOLEAN NOT NULL,
    telemetry TEXT NOT NULL,
    event_id INTEGER REFERENCES token_estimation_v2_events (event_id),
    started_at TEXT NOT NULL,
    finished_at TEXT NOT NULL,
    UNIQUE (run_id, phase_id, attempt),
    FOREIGN KEY (run_id, phase_id) REFERENCES phases (run_id, phase_id) ON DELETE CASCADE
);

-- The summary of a session reads its own attempts; deleting an event looks for the attempt that names it.
CREATE INDEX IF NOT EXISTS ix_phase_attempts_session_id ON phase_attempts (session_id);
CREATE INDEX IF NOT EXISTS ix_phase_attempts_event_id ON phase_attempts (event_id);
