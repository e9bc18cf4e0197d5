"""The comparison as one writes it first, with a dictionary: `change_dict.py sqlite|postgres SOURCE DESIRED`."""

import json
import sys

kind, source, desired = sys.argv[1:]
columns = ["id", "name", "description", "tone", "depth", "weight", "updated_at", "meta"]
sql = f"SELECT {', '.join(columns)} FROM items"
if kind == "sqlite":
    import sqlite3

    live = {row[0]: row for row in sqlite3.connect(f"file:{source}?mode=ro", uri=True).execute(sql)}
else:
    import psycopg

    with psycopg.connect(source) as connection, connection.cursor("live") as cursor:
        cursor.itersize = 10_000
        live = {row[0]: row for row in cursor.execute(sql)}
insert = update = unchanged = 0
with open(desired, encoding="utf-8") as file:
    for line in file:
        item = json.loads(line)
        row = tuple(item[name] for name in columns)
        found = live.pop(row[0], None)
        if found is None:
            insert += 1
        elif found == row:
            unchanged += 1
        else:
            update += 1
print(json.dumps({"insert": insert, "update": update, "unchanged": unchanged, "only_live": len(live)}))
