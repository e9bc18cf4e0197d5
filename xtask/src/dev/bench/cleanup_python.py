"""The job in Python with its own json and csv: `cleanup_python.py FILE OUT`; OUT gets cleaned.json and cleaned.csv.

Normalise, one row for a name (the longest description, the earlier of two that are equal), score, write both files.
"""

import csv
import json
import re
import sys
import unicodedata

source, out = sys.argv[1:3]
blanks, other = re.compile(r"\s+"), re.compile(r"[^a-z0-9]+")


def clean(text):
    return blanks.sub(" ", unicodedata.normalize("NFC", text)).strip()


best, count = {}, 0
with open(source, encoding="utf-8") as lines:
    for line in lines:
        count += 1
        row = json.loads(line)
        row["name"], row["description"] = clean(row["name"]), clean(row["description"])
        row["slug"] = other.sub("_", row["name"].lower()).strip("_")[:120]
        size = len(row["description"])
        steps = 0.0 if size == 0 else 0.1 if size < 20 else 0.6 if size < 80 else 1.0
        present = (bool(row["symbolic_pairing"]) + bool(row["emotional_tone"])) / 4
        row["integrity_score"] = round(0.3 * min(len(row["name"]) / 40, 1) + 0.3 * steps + 0.2 * present, 4)
        row["fragment_flag"] = row["integrity_score"] < 0.5
        known = best.get(row["slug"])
        if known is None or len(known["description"]) < size:
            best[row["slug"]] = row
with open(f"{out}/cleaned.json", "w", encoding="utf-8") as file:
    json.dump(list(best.values()), file, ensure_ascii=False, indent=2)
with open(f"{out}/cleaned.csv", "w", encoding="utf-8", newline="") as file:
    names = [name for name in next(iter(best.values())) if name not in ("integrity_score", "fragment_flag")]
    writer = csv.DictWriter(file, names, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(best.values())
print(json.dumps({"rows_in": count, "rows_out": len(best)}))
