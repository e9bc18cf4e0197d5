"""Make a SQLite file of token events: `analyze_data.py FILE EVENTS SEED`; the same seed gives the same rows.

SQLite itself makes the rows, from a linear congruential generator modulo 2^31 (its low bits are poor and never
used), because that is some times faster than passing them in. Stored metrics are what their counts give.
"""

import os
import sqlite3
import sys

SCHEMA = """
CREATE TABLE token_estimation_v2_events (
    event_id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL,
    phase_id TEXT NOT NULL,
    timestamp TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    category TEXT NOT NULL,
    complexity TEXT NOT NULL CHECK (complexity IN ('low', 'medium', 'high', 'maintenance')),
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
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
)
"""

# One draw a row; further numbers of the row are the draw times an odd constant, high bits only.
EVENTS = """
WITH RECURSIVE
draw(i, x) AS (
    SELECT 1, :seed
    UNION ALL
    SELECT i + 1, (x * 1103515245 + 12345) & 2147483647 FROM draw WHERE i < :events
),
shape(i, a, b, c, d, e) AS (
    SELECT i, x >> 8, ((x * 69069 + 1) & 2147483647) >> 9, ((x * 48271 + 3) & 2147483647) >> 9,
        ((x * 1812433253 + 5) & 2147483647) >> 9, ((x * 40014 + 7) & 2147483647) >> 9
    FROM draw
),
event(i, category, complexity, n, p, q, success, truncated) AS (
    SELECT i,
        CASE a % 5 WHEN 0 THEN 'docs' WHEN 1 THEN 'tests' WHEN 2 THEN 'refactoring' WHEN 3 THEN 'bugfix'
            ELSE 'implementation' END,
        CASE b % 8 WHEN 0 THEN 'high' WHEN 1 THEN 'maintenance' WHEN 2 THEN 'medium' WHEN 3 THEN 'medium'
            WHEN 4 THEN 'medium' ELSE 'low' END,
        c % 20, 400 + d % 16000, (400 + d % 16000) * (45 + e % 90) / 100, a % 100 < 72, b % 100 < 3
    FROM shape
)
INSERT INTO token_estimation_v2_events (
    run_id, phase_id, timestamp, category, complexity, deliverable_count, deliverables_json,
    predicted_output_tokens, actual_output_tokens, selected_budget, success, truncated, stop_reason, model,
    smape_percent, waste_ratio, underestimated, created_at
)
SELECT 'run-' || (i % 97), 'phase-' || i, '2026-01-02 03:04:05', category, complexity, n,
    CASE n WHEN 0 THEN '[]' ELSE '["a.rs"' || replace(hex(zeroblob(n - 1)), '00', ', "a.rs"') || ']' END,
    p, q, 16384, success, truncated, iif(truncated, 'max_tokens', 'end_turn'), 'model-' || (i % 3),
    200.0 * abs(p - q) / (p + q), 1.0 * p / q, q > p, '2026-01-02 03:04:05'
FROM event
"""

path, events, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if os.path.exists(path):
    os.remove(path)
connection = sqlite3.connect(path, isolation_level=None)
connection.execute("PRAGMA journal_mode = off")
connection.execute("PRAGMA synchronous = off")
connection.execute(SCHEMA)
connection.execute(EVENTS, {"events": events, "seed": seed})
connection.close()
