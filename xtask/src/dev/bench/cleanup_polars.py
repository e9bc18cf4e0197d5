"""The job in polars: `cleanup_polars.py FILE OUT`; OUT gets cleaned.json and cleaned.csv. See cleanup_python.py."""

import json
import sys

import polars as pl

source, out = sys.argv[1:3]


def clean(name):
    return pl.col(name).str.normalize("NFC").str.replace_all(r"\s+", " ").str.strip_chars()


rows = pl.scan_ndjson(source)
rows = rows.with_columns(clean("name"), clean("description")).with_columns(
    pl.col("name").str.to_lowercase().str.replace_all(r"[^a-z0-9]+", "_").str.strip_chars("_").str.slice(0, 120).alias("slug"),
    pl.col("description").str.len_chars().alias("size"),
)
present = pl.col("symbolic_pairing").is_not_null().cast(pl.Int32) + pl.col("emotional_tone").is_not_null().cast(pl.Int32)
steps = pl.when(pl.col("size") == 0).then(0.0).when(pl.col("size") < 20).then(0.1).when(pl.col("size") < 80).then(0.6)
score = 0.3 * (pl.col("name").str.len_chars() / 40).clip(upper_bound=1) + 0.3 * steps.otherwise(1.0) + 0.2 * present / 4
rows = rows.with_columns(score.round(4).alias("integrity_score"))
rows = rows.with_columns((pl.col("integrity_score") < 0.5).alias("fragment_flag")).collect()
count = rows.height
rows = rows.sort("size", descending=True, maintain_order=True).unique("slug", keep="first", maintain_order=True)
rows = rows.drop("size")
rows.write_json(f"{out}/cleaned.json")
rows.drop("integrity_score", "fragment_flag").write_csv(f"{out}/cleaned.csv")
print(json.dumps({"rows_in": count, "rows_out": rows.height}))
