"""The job in polars: `analyze_polars.py FILE`. FILE is Parquet when its name ends so, else SQLite by way of connectorx."""

import json
import sys

import polars as pl

COLUMNS = [
    "category",
    "complexity",
    "deliverable_count",
    "predicted_output_tokens",
    "actual_output_tokens",
    "success",
    "truncated",
]

path = sys.argv[1]
if path.endswith(".parquet"):
    events = pl.scan_parquet(path).select(COLUMNS)
else:
    query = f"SELECT {', '.join(COLUMNS)} FROM token_estimation_v2_events"
    events = pl.read_database_uri(query, f"sqlite://{path}", engine="connectorx").lazy()
p, q, n = pl.col("predicted_output_tokens"), pl.col("actual_output_tokens"), pl.col("deliverable_count")
counts = ~pl.col("truncated").cast(pl.Boolean) & (p > 0) & (q > 0)
bands = pl.when(n == 0).then(pl.lit("0")).when(n <= 3).then(pl.lit("1-3")).when(n <= 7).then(pl.lit("4-7"))
rows = events.select(
    "category",
    "complexity",
    bands.when(n <= 15).then(pl.lit("8-15")).otherwise(pl.lit("16+")).alias("deliverables"),
    pl.col("success").cast(pl.Int64),
    pl.col("truncated").cast(pl.Int64),
    (q > p).cast(pl.Int64).alias("underestimated"),
    pl.when(counts).then(200.0 * (p - q).abs() / (p + q)).alias("smape"),
    pl.when(counts).then(p / q).alias("waste"),
)
answer = rows.group_by("category", "complexity", "deliverables").agg(
    pl.len().alias("attempts"),
    pl.col("success").sum(),
    pl.col("truncated").sum(),
    pl.col("underestimated").sum(),
    pl.col("smape").mean().alias("smape_mean"),
    pl.col("smape").median().alias("smape_median"),
    pl.col("waste").median().alias("waste_median"),
    pl.col("waste").quantile(0.9, "linear").alias("waste_p90"),
)
print(json.dumps(answer.collect(engine="streaming").to_dicts()))
