"""Fills a state directory and a vault with history, so that lists can be timed: fill_lists.py STATE VAULT JOBS POINTS

The rows and documents are copies of one real job and one real recovery point, with other ids and older times.
"""

import datetime
import hashlib
import json
import pathlib
import sqlite3
import sys


def copy_row(database, table, row, **changes):
    row = {**row, **changes}
    names = ", ".join(row)
    marks = ", ".join("?" for _ in row)
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))


def fill_jobs(state, count):
    database_file, = pathlib.Path(state).glob("*.db")
    with sqlite3.connect(database_file) as database:
        database.row_factory = sqlite3.Row
        job = dict(database.execute("SELECT * FROM jobs ORDER BY number LIMIT 1").fetchone())
        tasks = [dict(t) for t in database.execute("SELECT * FROM tasks WHERE job = ?", [job["number"]])]
        first = database.execute("SELECT max(number) + 1 FROM jobs").fetchone()[0]
        for number in range(first, first + count):
            copy_row(database, "jobs", job, number=number, id=f"{job['id']}-{number}",
                     start_time=job["start_time"] - number)
            for task in tasks:
                copy_row(database, "tasks", task, job=number)


def document(content):
    """The text of a vault's document: asr-vault(5), Documents."""
    lines = json.dumps({k: v for k, v in content.items() if k != "checksum"}, indent=2)[:-len("\n}")] + ",\n"
    return f'{lines}  "checksum": "{hashlib.sha256(lines.encode()).hexdigest()}"\n}}\n'


def fill_points(vault, count):
    newest, = pathlib.Path(vault).glob("items/*/points/*.json")
    point = json.loads(newest.read_text())
    time = datetime.datetime.fromisoformat(point["time"].replace("Z", "+00:00"))
    for number in range(1, count + 1):
        older = time - datetime.timedelta(minutes=number)
        milliseconds = older.microsecond // 1000
        point["id"] = older.strftime("%Y%m%dT%H%M%S.") + f"{milliseconds:03d}Z"
        point["time"] = older.strftime("%Y-%m-%dT%H:%M:%S.") + f"{milliseconds:03d}Z"
        for disk in point["disks"]:
            disk["snapshot"] = point["id"]
        newest.with_name(point["id"] + ".json").write_text(document(point))


fill_jobs(sys.argv[1], int(sys.argv[3]))
fill_points(sys.argv[2], int(sys.argv[4]))
