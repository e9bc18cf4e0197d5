"""Whether two answers hold the same rows: `cleanup_agree.py OURS THEIRS`, both arrays of objects; exit 1 and why if not.

Names and descriptions are compared where no repair plays a part that the peers do not make. Of rows with one name all keep
the longest; where two are equally long after other repairs, those are compared by their slugs only.
"""

import json
import sys


def rows(file):
    with open(file, encoding="utf-8") as text:
        return {row["slug"]: row for row in json.load(text)}


ours, theirs = rows(sys.argv[1]), rows(sys.argv[2])
if ours.keys() != theirs.keys():
    sys.exit(f"different slugs: {list(ours.keys() ^ theirs.keys())[:5]}")
compared = 0
for slug, row in ours.items():
    other = theirs[slug]
    if row["id"] == other["id"] and "mojibake" not in row["symbolic_pairing"]:
        compared += 1
        if (row["name"], row["description"]) != (other["name"], other["description"]):
            sys.exit(f"{slug}: {row['description']!r} and {other['description']!r}")
if compared < len(ours) * 0.8:
    sys.exit(f"only {compared} of {len(ours)} rows could be compared")
