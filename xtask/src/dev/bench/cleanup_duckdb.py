"""The job in DuckDB: `cleanup_duckdb.py FILE OUT`; OUT gets cleaned.json and cleaned.csv. See cleanup_python.py."""

import json
import sys

import duckdb

source, out = sys.argv[1:3]
QUERY = r"""
CREATE TABLE cleaned AS
WITH text AS (
    SELECT * REPLACE (trim(regexp_replace(nfc_normalize(name), '\s+', ' ', 'g')) AS name,
        trim(regexp_replace(nfc_normalize(description), '\s+', ' ', 'g')) AS description),
        row_number() OVER () AS place, count(*) OVER () AS total
    FROM read_ndjson_auto(?)
),
keyed AS (
    SELECT *, trim(regexp_replace(lower(name), '[^a-z0-9]+', '_', 'g'), '_')[:120] AS slug, length(description) AS size
    FROM text
)
SELECT * EXCLUDE (place, size),
    round(0.3 * least(length(name) / 40, 1)
        + 0.3 * CASE WHEN size = 0 THEN 0 WHEN size < 20 THEN 0.1 WHEN size < 80 THEN 0.6 ELSE 1 END
        + 0.2 * ((symbolic_pairing IS NOT NULL)::INT + (emotional_tone IS NOT NULL)::INT) / 4, 4) AS integrity_score,
    integrity_score < 0.5 AS fragment_flag
FROM keyed QUALIFY row_number() OVER (PARTITION BY slug ORDER BY size DESC, place) = 1
"""
connection = duckdb.connect()
# It takes a script without a file for a session, and after two seconds would draw a bar into the answer.
connection.execute("SET enable_progress_bar = false")
connection.execute(QUERY, [source])
connection.execute(f"COPY (SELECT * EXCLUDE (total) FROM cleaned) TO '{out}/cleaned.json' (FORMAT json, ARRAY true)")
connection.execute(f"COPY (SELECT * EXCLUDE (total, integrity_score, fragment_flag) FROM cleaned) TO '{out}/cleaned.csv'")
count, kept = connection.execute("SELECT max(total), count(*) FROM cleaned").fetchone()
print(json.dumps({"rows_in": count, "rows_out": kept}))
