"""The comparison in DuckDB: `change_duckdb.py sqlite|postgres SOURCE DESIRED`. Scanners come from their own Python packages."""

import importlib
import json
import pathlib
import sys

import duckdb

kind, source, desired = sys.argv[1:]
connection = duckdb.connect()
# It takes a script without a file for a session, and after two seconds would draw a bar into the answer.
connection.execute("SET enable_progress_bar = false")
package = pathlib.Path(importlib.import_module(f"duckdb_extension_{kind}_scanner").__file__).parent
connection.execute(f"LOAD '{next(package.rglob(f'{kind}_scanner.duckdb_extension'))}'")
connection.execute(f"ATTACH '{source}' AS live (TYPE {kind}, READ_ONLY)")
columns = ["name", "description", "tone", "depth", "weight", "updated_at", "meta"]
types = {name: "VARCHAR" for name in ["id", *columns]} | {"depth": "BIGINT", "weight": "DOUBLE"}
differs = " OR ".join(f"a.{name} IS DISTINCT FROM b.{name}" for name in columns)
query = f"""
SELECT count(*) FILTER (a.id IS NULL), count(*) FILTER (a.id IS NOT NULL AND b.id IS NOT NULL AND ({differs})),
    count(*) FILTER (a.id IS NOT NULL AND b.id IS NOT NULL AND NOT ({differs})), count(*) FILTER (b.id IS NULL)
FROM live.items a FULL OUTER JOIN
    read_json('{desired}', format = 'newline_delimited', columns = {types}) b ON a.id = b.id
"""
names = ["insert", "update", "unchanged", "only_live"]
print(json.dumps(dict(zip(names, connection.execute(query).fetchone()))))
