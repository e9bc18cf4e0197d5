"""The job in pandas: `analyze_pandas.py FILE`. FILE is Parquet when its name ends so, else SQLite."""

import json
import sqlite3
import sys

import pandas as pd

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
    events = pd.read_parquet(path, columns=COLUMNS)
else:
    # Whole, the texts of ten million rows take more than three gigabytes.
    query = f"SELECT {', '.join(COLUMNS)} FROM token_estimation_v2_events"
    words = {"category": "category", "complexity": "category"}
    parts = [part.astype(words) for part in pd.read_sql_query(query, sqlite3.connect(path), chunksize=500_000)]
    for word in words:
        known = pd.api.types.union_categoricals([part[word] for part in parts]).categories
        for part in parts:
            part[word] = part[word].cat.set_categories(known)
    events = pd.concat(parts, ignore_index=True)
    del parts
p, q = events["predicted_output_tokens"], events["actual_output_tokens"]
counts = ~events["truncated"].astype(bool) & (p > 0) & (q > 0)
bands = pd.cut(events["deliverable_count"], [-1, 0, 3, 7, 15, 1 << 62], labels=["0", "1-3", "4-7", "8-15", "16+"])
rows = events[["category", "complexity", "success", "truncated"]].assign(
    deliverables=bands,
    underestimated=q > p,
    smape=(200.0 * (p - q).abs() / (p + q)).where(counts),
    waste=(p / q).where(counts),
)
groups = rows.groupby(["category", "complexity", "deliverables"], observed=True, sort=False)
answer = groups.agg(
    attempts=("success", "size"),
    success=("success", "sum"),
    truncated=("truncated", "sum"),
    underestimated=("underestimated", "sum"),
    smape_mean=("smape", "mean"),
    smape_median=("smape", "median"),
    waste_median=("waste", "median"),
)
answer["waste_p90"] = groups["waste"].quantile(0.9)
print(json.dumps(json.loads(answer.reset_index().to_json(orient="records", double_precision=15))))
