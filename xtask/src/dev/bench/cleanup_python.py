"""The job in Python with its own json and csv: `cleanup_python.py FILE OUT`; OUT gets cleaned.json and cleaned.csv.

Normalise, choose the six words that say most as triggers, score by the same four parts, keep one row of a name (the
longest description, the earlier of two that are equal), write both files.
"""

import csv
import json
import re
import sys
import unicodedata
from collections import Counter

source, out = sys.argv[1:3]
blanks, other, no_tone = re.compile(r"\s+"), re.compile(r"[^a-z0-9]+"), re.compile(r"gate|\d", re.IGNORECASE)
words, possessive = re.compile(r"[^\W_]+(?:'[^\W_]+)*"), re.compile(r"'s\b")
STOP = set("the and or of in on a an to with that this is it as for be are you your new what when they we will here "
           "there not being let wor ag".split())
SHORT = {"awe", "joy"}


def clean(text):
    return blanks.sub(" ", unicodedata.normalize("NFC", text)).strip()


def triggers(row):
    text = possessive.sub("", f"{row['name']} {row['description']}".lower().replace("\u2019", "'"))
    counts = Counter(word for word in words.findall(text) if (len(word) >= 4 and word not in STOP) or word in SHORT)
    return sorted(counts, key=lambda word: (-counts[word], -len(word), word))[:6]


best, count = {}, 0
with open(source, encoding="utf-8") as lines:
    for line in lines:
        count += 1
        row = json.loads(line)
        row["name"], row["description"] = clean(row["name"]), clean(row["description"])
        row["depth"] = min(max(row["depth"], 1), 5)
        row["slug"] = other.sub("_", row["name"].lower()).strip("_")[:120]
        row["triggers"] = triggers(row)
        size = len(row["description"])
        steps = 0.0 if size == 0 else 0.1 if size < 20 else 0.6 if size < 80 else 1.0
        tone = row["emotional_tone"]
        present = (bool(row["symbolic_pairing"]) + (bool(tone) and not no_tone.match(tone))) / 4
        shares = 0.3 * min(len(row["name"]) / 40, 1) + 0.3 * steps + 0.2 * min(len(row["triggers"]) / 4, 1) + 0.2 * present
        row["integrity_score"] = round(shares, 4)
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
    writer.writerows({**row, "triggers": json.dumps(row["triggers"])} for row in best.values())
print(json.dumps({"rows_in": count, "rows_out": len(best)}))
