"""Make rows that want cleaning: `cleanup_data.py FILE ROWS SEED`; the same seed gives the same rows, whatever the format.

The ending of FILE says the format: .ndjson, .json, .csv or .sql. About 400 bytes a row. Of all rows 5 % hold text that was
read as cp1252, 15 % markdown, 20 % blanks that do not belong there, 2 % letters with separate marks, and 3 % have the
name of an earlier row. What was done to a row stands in `symbolic_pairing`, so that answers can be compared where
repairs play no part.
"""

import csv
import json
import random
import sys
import unicodedata

file, rows, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
draw = random.Random(seed)
random_ = draw.random
ENDS = ["a", "el", "in", "or", "um", "ish", "ing", "er", "on", "eth", "ow", "ine", "est", "al", "ure"]
STARTS = ["ba", "cor", "dun", "fel", "gar", "hal", "jun", "kel", "lor", "mar", "nor", "pel", "quar", "ros", "sal", "tor",
          "ul", "var", "wen", "yar", "zel", "bri", "clo", "dra", "fro", "gle", "kri", "pla", "sto", "tru"]
WORDS = [a + b + c for a in STARTS for b in ENDS for c in ("", "s", "ly")]
WORDS += ["the", "and", "of", "in", "with"] * 60 + ["caf\u00e9", "na\u00efve", "\u00fcber", "se\u00f1or", "\u2014", "it\u2019s"] * 20
COLUMNS = ["id", "name", "description", "depth", "symbolic_pairing", "emotional_tone", "created_from_chat"]


def text(low, high):
    """Words of some length, with a few sentences."""
    size = draw.randrange(low, high)
    words = draw.choices(WORDS, k=size // 6)
    return (" ".join(words)[:size].strip().capitalize()) + "."


def rows_():
    names = []
    for i in range(rows):
        name = f"{' '.join(draw.choices(WORDS[:1350], k=3)).title()} {i:x}"
        description, made = text(50, 300), []
        if names and random_() < 0.03:
            name = draw.choice(names).upper()
            made.append("twin")
        elif len(names) < 10000 or random_() < 0.01:
            names.append(name)
        if random_() < 0.02:
            description = unicodedata.normalize("NFD", "\u00e9t\u00e9 " + description)
            made.append("marks")
        if random_() < 0.15:
            description = "**" + description[:20] + "** " + description[20:] + " `x` ---"
            made.append("markdown")
        if random_() < 0.20:
            description = "  " + description.replace(" ", "  ", 3) + " \t"
            name += "  "
            made.append("blanks")
        if random_() < 0.05:
            damaged = "It\u2019s a caf\u00e9. ".encode().decode("cp1252")
            description = damaged + description
            made.append("mojibake")
        yield [f"{draw.getrandbits(128):032x}", name, description, i % 7, "+".join(made) or "plain", "Gate 3", False]


def ndjson(out):
    for row in rows_():
        out.write(json.dumps(dict(zip(COLUMNS, row)), ensure_ascii=False, separators=(",", ":")) + "\n")


def array(out):
    for i, row in enumerate(rows_()):
        out.write(",\n" if i else "[")
        out.write(json.dumps(dict(zip(COLUMNS, row)), ensure_ascii=False, separators=(",", ":")))
    out.write("]\n")


def sheet(out):
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    writer.writerows(rows_())


def dump(out):
    head = "INSERT INTO \"public\".\"glyphs\" (" + ", ".join(f'"{name}"' for name in COLUMNS) + ") VALUES "
    for i, row in enumerate(rows_()):
        texts = [f"'{v}'" if isinstance(v, int) else "'" + v.replace("'", "''") + "'" for v in row]
        texts[3], texts[6] = str(row[3]), "'false'"
        out.write((head if i == 0 else ", ") + "(" + ", ".join(texts) + ")")
    out.write(";")


write = {"ndjson": ndjson, "json": array, "csv": sheet, "sql": dump}[file.split(".partial")[0].rsplit(".", 1)[1]]
with open(file, "w", encoding="utf-8", newline="") as out:
    write(out)
