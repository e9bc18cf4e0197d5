/* The job in the SQL that the sqlite3 shell has: ranks by window functions; a percentile is the two values at the
   nearest ranks, each weighted by how near it is. */
WITH event AS (
    SELECT category, complexity,
        CASE WHEN deliverable_count = 0 THEN '0' WHEN deliverable_count <= 3 THEN '1-3'
            WHEN deliverable_count <= 7 THEN '4-7' WHEN deliverable_count <= 15 THEN '8-15' ELSE '16+' END
            AS deliverables,
        success, truncated, actual_output_tokens > predicted_output_tokens AS underestimated,
        CASE WHEN NOT truncated AND predicted_output_tokens > 0 AND actual_output_tokens > 0
            THEN 200.0 * abs(predicted_output_tokens - actual_output_tokens)
                / (predicted_output_tokens + actual_output_tokens) END AS smape,
        CASE WHEN NOT truncated AND predicted_output_tokens > 0 AND actual_output_tokens > 0
            THEN 1.0 * predicted_output_tokens / actual_output_tokens END AS waste
    FROM token_estimation_v2_events
),
tally AS (
    SELECT category, complexity, deliverables, count(*) AS attempts, sum(success) AS success,
        sum(truncated) AS truncated, sum(underestimated) AS underestimated, avg(smape) AS smape_mean,
        (count(smape) - 1) * 0.5 AS middle, (count(smape) - 1) * 0.9 AS ninth
    FROM event GROUP BY 1, 2, 3
),
ranked AS (
    SELECT category, complexity, deliverables, smape, waste,
        row_number() OVER (PARTITION BY category, complexity, deliverables ORDER BY smape) - 1 AS smape_rank,
        row_number() OVER (PARTITION BY category, complexity, deliverables ORDER BY waste) - 1 AS waste_rank
    FROM event WHERE smape IS NOT NULL
)
SELECT category, complexity, deliverables, attempts, success, truncated, underestimated, smape_mean,
    sum(smape * max(0, 1 - abs(smape_rank - middle))) AS smape_median,
    sum(waste * max(0, 1 - abs(waste_rank - middle))) AS waste_median,
    sum(waste * max(0, 1 - abs(waste_rank - ninth))) AS waste_p90
FROM tally LEFT JOIN ranked USING (category, complexity, deliverables)
GROUP BY category, complexity, deliverables
