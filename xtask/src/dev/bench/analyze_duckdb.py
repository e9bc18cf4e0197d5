"""The job in DuckDB: `analyze_duckdb.py FILE [PARQUET]`. FILE is Parquet when its name ends so, else SQLite.

The SQLite scanner is loaded from its own Python package. With PARQUET nothing is answered: the events of FILE are
written there as DuckDB writes Parquet by itself.
"""

import json
import pathlib
import sys

import duckdb

QUERY = """
WITH event AS (
    SELECT category, complexity,
        CASE WHEN deliverable_count = 0 THEN '0' WHEN deliverable_count <= 3 THEN '1-3'
            WHEN deliverable_count <= 7 THEN '4-7' WHEN deliverable_count <= 15 THEN '8-15' ELSE '16+' END
            AS deliverables,
        success::INT AS success, truncated::INT AS truncated, predicted_output_tokens AS p,
        actual_output_tokens AS q, NOT truncated::BOOL AND p > 0 AND q > 0 AS counts,
        CASE WHEN counts THEN 200.0::DOUBLE * abs(p - q) / (p + q) END AS smape,
        CASE WHEN counts THEN p::DOUBLE / q END AS waste
    FROM {events}
)
SELECT category, complexity, deliverables, count(*) AS attempts, sum(success)::BIGINT AS success,
    sum(truncated)::BIGINT AS truncated, count(*) FILTER (q > p) AS underestimated, avg(smape) AS smape_mean,
    quantile_cont(smape, 0.5) AS smape_median, quantile_cont(waste, 0.5) AS waste_median,
    quantile_cont(waste, 0.9) AS waste_p90
FROM event GROUP BY ALL
"""

path = sys.argv[1]
connection = duckdb.connect()
# It takes a script without a file for a session, and after two seconds would draw a bar into the answer.
connection.execute("SET enable_progress_bar = false")
if path.endswith(".parquet"):
    events = f"read_parquet('{path}')"
else:
    import duckdb_extension_sqlite_scanner

    package = pathlib.Path(duckdb_extension_sqlite_scanner.__file__).parent
    extension = next(package.rglob("sqlite_scanner.duckdb_extension"))
    connection.execute(f"LOAD '{extension}'")
    connection.execute(f"ATTACH '{path}' AS source (TYPE sqlite, READ_ONLY)")
    events = "source.token_estimation_v2_events"
if len(sys.argv) > 2:
    connection.execute("SET memory_limit = '1GB'")
    connection.execute(f"COPY (SELECT * FROM {events}) TO '{sys.argv[2]}' (FORMAT parquet)")
    sys.exit()
result = connection.execute(QUERY.format(events=events))
names = [column[0] for column in result.description]
print(json.dumps([dict(zip(names, row)) for row in result.fetchall()]))
