"""Whether two answers hold the same rows: `cleanup_agree.py OURS THEIRS`, both arrays of objects; exit 1 and why if not.

Rows are compared, triggers and score too, where no repair plays a part that the peers do not make. Of rows with one name
all keep the longest; where two are equally long after other repairs, those are compared by their slugs only. Two things
differ by intent: evidence is what the input had, so letters with separate marks count as more than one; and of a title that
is flagged as cut the suggestion is read for triggers, which a few in 100,000 are.
"""

import json
import sys


def rows(file):
    with open(file, encoding="utf-8") as text:
        return {row["slug"]: row for row in json.load(text)}


ours, theirs = rows(sys.argv[1]), rows(sys.argv[2])
if ours.keys() != theirs.keys():
    sys.exit(f"different slugs: {list(ours.keys() ^ theirs.keys())[:5]}")
compared = other_triggers = 0
for slug, row in ours.items():
    other = theirs[slug]
    if row["id"] != other["id"] or "mojibake" in row["symbolic_pairing"]:
        continue
    compared += 1
    names = ["name", "description", "depth"] + ["integrity_score", "fragment_flag"] * ("marks" not in row["symbolic_pairing"])
    for name in names:
        if row[name] != other[name]:
            sys.exit(f"{slug}: {name} is {row[name]!r} and {other[name]!r}")
    other_triggers += row["triggers"] != other["triggers"]
if compared < len(ours) * 0.8:
    sys.exit(f"only {compared} of {len(ours)} rows could be compared")
if other_triggers > max(1, compared // 10_000):
    sys.exit(f"{other_triggers} of {compared} rows have other triggers")
