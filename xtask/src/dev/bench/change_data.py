"""Make live and desired rows: `change_data.py FOLDER ROWS SEED`.

live.db and live.csv hold ROWS rows. plan.ndjson is the desired side for planning: of the live rows 98 % as they are, 1 % changed,
1 % missing, and 1 % new ones. apply.ndjson is the desired side for applying: 40 % of ROWS changed and 40 % new. Keys are random UUIDs, and no file
is sorted by them.
"""

import csv
import json
import pathlib
import random
import sqlite3
import sys
import uuid

folder, rows, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
source = random.Random(seed)
WORDS = "amber drift hollow lantern quiet river salt stone tide vessel weather willow über naïve – “calm”".split()
TONES = ["grief", "joy", "longing", "rest", "wonder"]
COLUMNS = ["id", "name", "description", "tone", "depth", "weight", "updated_at", "meta"]
DDL = """CREATE TABLE items (id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, description TEXT, tone TEXT, depth INTEGER,
    weight REAL, updated_at TEXT, meta TEXT)"""


def text(words):
    return " ".join(source.choices(WORDS, k=words))


def row():
    return {
        "id": str(uuid.UUID(int=source.getrandbits(128), version=4)),
        "name": text(3),
        "description": text(24),
        "tone": source.choice(TONES),
        "depth": source.randrange(1, 6),
        "weight": source.randrange(1, 10_000) / 64,
        "updated_at": f"2026-01-{source.randrange(1, 29):02} {source.randrange(24):02}:00:00.000000",
        "meta": json.dumps({"source": text(1), "n": source.randrange(1_000_000)}, ensure_ascii=False) if source.random() < 0.9 else None,
    }


def lines(name, items):
    with open(folder / name, "w", encoding="utf-8") as file:
        for item in items:
            file.write(json.dumps(item, ensure_ascii=False) + "\n")


def changed(item):
    return {**item, "description": item["description"] + " again", "depth": item["depth"] + 1}


folder.mkdir(parents=True, exist_ok=True)
live = [row() for _ in range(rows)]
(folder / "live.db").unlink(missing_ok=True)
connection = sqlite3.connect(folder / "live.db")
connection.execute("PRAGMA journal_mode = WAL")
connection.execute(DDL)
marks = ", ".join(f":{name}" for name in COLUMNS)
connection.executemany(f"INSERT INTO items VALUES ({marks})", live)
connection.commit()
connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
connection.close()
with open(folder / "live.csv", "w", newline="", encoding="utf-8") as file:
    writer = csv.DictWriter(file, COLUMNS)
    writer.writerows({k: v for k, v in item.items() if v is not None} for item in live)
percent = rows // 100
plan = [changed(item) for item in live[:percent]] + live[percent : rows - percent] + [row() for _ in range(percent)]
source.shuffle(plan)
lines("plan.ndjson", plan)
del plan
source.shuffle(live)
part = rows * 2 // 5
desired = [changed(item) for item in live[:part]] + [row() for _ in range(part)]
source.shuffle(desired)
lines("apply.ndjson", desired)
