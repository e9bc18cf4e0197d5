"""Upserts as Python offers them: `change_executemany.py sqlite-full|sqlite-normal|postgres TARGET DESIRED BATCH ROWS`.

The rows go in the order of the file. Prints them and the seconds of the writing alone.
"""

import itertools
import json
import sys
import time

kind, target, desired, batch, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
columns = ["id", "name", "description", "tone", "depth", "weight", "updated_at", "meta"]
with open(desired, encoding="utf-8") as file:
    items = map(json.loads, itertools.islice(file, count))
    rows = [tuple(item[name] for name in columns) for item in items]
updates = ", ".join(f"{name} = excluded.{name}" for name in columns[1:])
mark = "%s" if kind == "postgres" else "?"
sql = f"INSERT INTO items VALUES ({', '.join([mark] * 8)}) ON CONFLICT (id) DO UPDATE SET {updates}"
if kind == "postgres":
    import psycopg

    connection = psycopg.connect(target)
else:
    import sqlite3

    connection = sqlite3.connect(target)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {kind.removeprefix('sqlite-')}")
cursor = connection.cursor()
start = time.perf_counter()
for first in range(0, len(rows), batch):
    cursor.executemany(sql, rows[first : first + batch])
    connection.commit()
print(json.dumps({"rows": len(rows), "seconds": time.perf_counter() - start}))
