"""The same events through queue.Queue and one writing thread: grouped, or a connection and transaction for each job."""

import json
import os
import queue
import resource
import sqlite3
import sys
import tempfile
import threading
import time

way, producers, pace, events, folder = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
COLUMNS = (
    "run_id TEXT, phase_id TEXT, at TEXT, category TEXT, complexity TEXT, deliverables INTEGER, predicted INTEGER,"
    " actual INTEGER, budget INTEGER, success BOOLEAN, truncated BOOLEAN, stop_reason TEXT, model TEXT, smape REAL,"
    " waste REAL, attempt INTEGER"
)
CREATE = f"CREATE TABLE IF NOT EXISTS events ({COLUMNS})"
INSERT = "INSERT INTO events VALUES (" + ", ".join("?" * 16) + ")"
PHASES = ["phase-build-0001", "phase-docs-0002", "phase-tests-0003", "phase-fix-0004"]
END = object()


def event(producer, n):
    return (
        "telemetry-run-2026-01-02", PHASES[producer % 4], "2026-01-02 03:04:05.000000", "implementation", "medium",
        n % 9, n, n // 2, 8192, n % 7 != 0, n % 31 == 0, "end_turn", "builder-1", n % 200 / 2, 1.5, 1,
    )


def grouped(path, jobs):
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("PRAGMA synchronous = normal")
    ended = False
    while not ended:
        group = [jobs.get()]
        while len(group) < 1000:
            try:
                group.append(jobs.get_nowait())
            except queue.Empty:
                break
        if group[-1] is END:
            group.pop()
            ended = True
        conn.execute("BEGIN IMMEDIATE")
        conn.executemany(INSERT, group)
        conn.execute("COMMIT")


def per_job(path, jobs):
    # Journal and flushing are SQLite's own. What a job needs in the schema is looked up under a lock, run when it was not
    # before, and committed ahead of the job.
    ensured, lock = set(), threading.Lock()
    while (job := jobs.get()) is not END:
        work, needed = job
        conn = sqlite3.connect(path, timeout=30.0, check_same_thread=False)
        try:
            conn.execute("PRAGMA foreign_keys = ON")
            with lock:
                cursor = conn.cursor()
                for ddl in needed:
                    if ddl not in ensured:
                        cursor.execute(ddl)
                        ensured.add(ddl)
                conn.commit()
                cursor.close()
            work(conn)
            conn.commit()
        except Exception:
            conn.rollback()
            raise
        finally:
            conn.close()
            jobs.task_done()


def task(producer, n):
    row = event(producer, n)
    return lambda conn: conn.execute(INSERT, row), (CREATE,)


def produce(jobs, producer, count, waits):
    make = event if way == "grouped" else task
    clock = time.perf_counter
    began = clock()
    for n in range(count):
        if pace:
            early = began + n * producers / pace - clock()
            if early > 0:
                time.sleep(early)
        before = clock()
        jobs.put(make(producer, n))
        waits.append(clock() - before)


with tempfile.TemporaryDirectory(dir=folder) as scratch:
    path = os.path.join(scratch, "events.db")
    conn = sqlite3.connect(path)
    if way == "grouped":
        conn.execute("PRAGMA journal_mode = wal")
    conn.execute(CREATE)
    conn.commit()
    conn.close()
    jobs = queue.Queue(8192 if way == "grouped" else 0)
    waits = [[] for _ in range(producers)]
    began = time.perf_counter()
    writer = threading.Thread(target=grouped if way == "grouped" else per_job, args=(path, jobs))
    writer.start()
    threads = [threading.Thread(target=produce, args=(jobs, i, events // producers, waits[i])) for i in range(producers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    jobs.put(END)
    writer.join()
    seconds = time.perf_counter() - began
    found = sqlite3.connect(path).execute("SELECT count(*) FROM events").fetchone()[0]
    assert found == events // producers * producers, found
    waits = sorted(wait * 1e6 for part in waits for wait in part)
    at = lambda share: waits[min(int(len(waits) * share), len(waits) - 1)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({
        "events": events, "seconds": seconds, "p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "peak_mb": peak,
    }))
