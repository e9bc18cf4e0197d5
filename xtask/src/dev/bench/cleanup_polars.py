"""The job in polars: `cleanup_polars.py FILE OUT`; OUT gets cleaned.json and cleaned.csv. See cleanup_python.py.

Words are counted inside each row's list: exploding them into rows of their own and grouping those takes a third longer.
"""

import json
import sys

import polars as pl

source, out = sys.argv[1:3]
STOP = ("the and or of in on a an to with that this is it as for be are you your new what when they we will here "
        "there not being let wor ag").split()
SHORT = ["awe", "joy"]


def clean(name):
    return pl.col(name).str.normalize("NFC").str.replace_all(r"\s+", " ").str.strip_chars()


def triggers():
    text = pl.concat_str("name", "description", separator=" ").str.to_lowercase()
    text = text.str.replace_all("\u2019", "'", literal=True).str.replace_all(r"'s\b", "")
    word = pl.element()
    counted = text.str.extract_all(r"[\p{L}\p{N}]+(?:'[\p{L}\p{N}]+)*").list.eval(
        word.filter(((word.str.len_chars() >= 4) & ~word.is_in(STOP)) | word.is_in(SHORT)).value_counts()
    )
    word, count = pl.element().struct.field(""), pl.element().struct.field("count")
    best = word.sort_by(count, word.str.len_chars(), word, descending=[True, True, False]).head(6)
    return counted.list.eval(best)


rows = pl.scan_ndjson(source)
rows = rows.with_columns(clean("name"), clean("description"), pl.col("depth").clip(1, 5)).with_columns(
    pl.col("name").str.to_lowercase().str.replace_all(r"[^a-z0-9]+", "_").str.strip_chars("_").str.slice(0, 120).alias("slug"),
    triggers().alias("triggers"),
    pl.col("description").str.len_chars().alias("size"),
)
tone = pl.col("emotional_tone").is_not_null() & ~pl.col("emotional_tone").str.contains("^(?i:gate|[0-9])")
present = pl.col("symbolic_pairing").is_not_null().cast(pl.Int32) + tone.cast(pl.Int32)
steps = pl.when(pl.col("size") == 0).then(0.0).when(pl.col("size") < 20).then(0.1).when(pl.col("size") < 80).then(0.6)
shares = 0.3 * (pl.col("name").str.len_chars() / 40).clip(upper_bound=1) + 0.3 * steps.otherwise(1.0)
shares = shares + 0.2 * (pl.col("triggers").list.len() / 4).clip(upper_bound=1) + 0.2 * present / 4
rows = rows.with_columns(shares.round(4).alias("integrity_score"))
rows = rows.with_columns((pl.col("integrity_score") < 0.5).alias("fragment_flag")).collect()
count = rows.height
rows = rows.sort("size", descending=True, maintain_order=True).unique("slug", keep="first", maintain_order=True)
rows = rows.drop("size")
rows.write_json(f"{out}/cleaned.json")
spelled = pl.concat_str(pl.lit('["'), pl.col("triggers").list.join('", "'), pl.lit('"]')).alias("triggers")
rows.drop("integrity_score", "fragment_flag").with_columns(spelled).write_csv(f"{out}/cleaned.csv")
print(json.dumps({"rows_in": count, "rows_out": rows.height}))
