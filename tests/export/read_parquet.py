"""Prints what DuckDB and pyarrow read from a Parquet file: the types and the rows as JSON, or the result of a query."""

import json
import sys

import duckdb
import pyarrow.parquet

path = sys.argv[1]
if len(sys.argv) > 2:
    connection = duckdb.connect()
    connection.execute(f"CREATE VIEW file AS SELECT * FROM read_parquet('{path}')")
    groups = pyarrow.parquet.ParquetFile(path).num_row_groups
    sys.exit(print(f"{groups} groups: {connection.execute(sys.argv[2]).fetchone()}"))
table = pyarrow.parquet.read_table(path)
rows = table.to_pylist()
relation = duckdb.connect().execute("SELECT * FROM read_parquet(?)", [path])
names = [column[0] for column in relation.description]
others = [dict(zip(names, row)) for row in relation.fetchall()]
if rows != others:
    sys.exit("DuckDB and pyarrow read different rows")
types = {field.name: str(field.type) for field in table.schema}


def plain(value):
    return {"hex": value.hex()} if isinstance(value, bytes) else value


rows = [{name: plain(value) for name, value in row.items()} for row in rows]
print(json.dumps({"types": types, "rows": rows}))
