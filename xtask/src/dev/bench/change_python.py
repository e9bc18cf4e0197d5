"""Upserts as Python offers them: `change_python.py sqlite|postgres TARGET DESIRED BATCH`, in the order of the file.

Prints the rows and the seconds of the writing alone.
"""

import json
import sys
import time

kind, target, desired, batch = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
columns = ["id", "name", "description", "tone", "depth", "weight", "updated_at", "meta"]
with open(desired, encoding="utf-8") as file:
    rows = [tuple(item[name] for name in columns) for item in map(json.loads, file)]
updates = ", ".join(f"{name} = excluded.{name}" for name in columns[1:])
mark = "?" if kind == "sqlite" else "%s"
sql = f"INSERT INTO items VALUES ({', '.join([mark] * 8)}) ON CONFLICT (id) DO UPDATE SET {updates}"
if kind == "sqlite":
    import sqlite3

    connection = sqlite3.connect(target)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
else:
    import psycopg

    connection = psycopg.connect(target)
cursor = connection.cursor()
start = time.perf_counter()
for first in range(0, len(rows), batch):
    cursor.executemany(sql, rows[first : first + batch])
    connection.commit()
print(json.dumps({"rows": len(rows), "seconds": time.perf_counter() - start}))
