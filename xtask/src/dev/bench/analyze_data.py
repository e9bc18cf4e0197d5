"""Make a database of token events: `analyze_data.py FILE EVENTS SEED PROGRAM`; the same seed gives the same rows.

PROGRAM migrates an empty database, so the schema is the real one. SQLite itself makes the rows, from a linear
congruential generator modulo 2^31 (its low bits are poor and never used), because that is some times faster than
passing them in. Every column holds what the program would write; stored metrics are what their counts give. Runs and
phases stay empty, which only foreign keys would mind. The table's indexes are dropped: no contender's query can use
one, and building them takes longer than the rows.
"""

import os
import sqlite3
import subprocess
import sys

# One draw a row; further numbers of the row are the draw times a constant, high bits only. The OFFSET keeps SQLite
# from computing each of them again wherever it is used.
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
        c % 20, 400 + d % 16000,
        CASE c % 1000 WHEN 999 THEN 0 ELSE (400 + d % 16000) * (4500 + e % 9000) / 10000 END,
        a % 100 < 72, b % 100 < 3
    FROM shape LIMIT -1 OFFSET 0
)
INSERT INTO token_estimation_v2_events (
    run_id, phase_id, timestamp, category, complexity, deliverable_count, deliverables_json,
    predicted_output_tokens, actual_output_tokens, selected_budget, actual_max_tokens, success, truncated,
    is_truncated_output, stop_reason, model, smape_percent, waste_ratio, underestimated, estimator_version,
    coefficient_digest, attempt, input_tokens, outcome_source, created_at
)
SELECT 'run-' || (i % 97), 'phase-' || i, '2026-01-02 03:04:05.678901', category, complexity, n,
    CASE n WHEN 0 THEN '[]' ELSE '["a.rs"' || replace(hex(zeroblob(n - 1)), '00', ', "a.rs"') || ']' END,
    p, q, 16384, 16384, success, truncated, truncated, iif(truncated, 'max_tokens', 'end_turn'),
    'model-' || (i % 3), iif(q > 0, 200.0 * abs(p - q) / (p + q), NULL), iif(q > 0, 1.0 * p / q, NULL),
    iif(q > 0, q > p, NULL), '1', '0123456789ab', 1, 1000 + n, 'recorded', '2026-01-02 03:04:05.678901'
FROM event
"""

INDEXES = """
SELECT name FROM sqlite_schema
WHERE type = 'index' AND tbl_name = 'token_estimation_v2_events' AND sql IS NOT NULL
"""

path, events, seed, program = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
if os.path.exists(path):
    os.remove(path)
connection = sqlite3.connect(path, isolation_level=None)
connection.execute("VACUUM")
subprocess.run([program, "migrate", "--db", path], stdout=subprocess.DEVNULL, check=True)
connection.execute("PRAGMA journal_mode = off")
connection.execute("PRAGMA synchronous = off")
for (name,) in connection.execute(INDEXES).fetchall():
    connection.execute(f"DROP INDEX {name}")
connection.execute(EVENTS, {"events": events, "seed": seed})
connection.close()
