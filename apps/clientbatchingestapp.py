#!/usr/bin/env python3
"""clientbatchingestapp in Python with pandas: drop the records that have a null value.

The same contract as clientbatchingestapp.c: reads {SOURCE_PATH}/{CLIENT_ID}/in, writes the same names into .../out.
Memory is flat: CHUNK records at a time. Two differences, both of pandas: it takes a quoted empty cell ("") for null
too, and it writes cells with as few quotes as possible. A file that is no regular CSV ends the run with exit 1.

Needs pandas (python3 -m pip install pandas).
"""

import os
import sys
from pathlib import Path

import pandas as pd

CHUNK = 100_000


def drop_nulls(source: Path, target: Path) -> tuple[int, int]:
    """Copy source to target without records that have a null; returns how many were read and dropped."""
    read = kept = 0
    chunks = pd.read_csv(
        source, header=None, dtype=str, keep_default_na=False, na_values=[""], chunksize=CHUNK,
        encoding="utf-8-sig", encoding_errors="surrogateescape",
    )
    with chunks, open(target, "w", encoding="utf-8", errors="surrogateescape", newline="") as out:
        for number, chunk in enumerate(chunks):
            keep = chunk.notna().all(axis=1)
            if number == 0:
                keep.iloc[0] = True  # the header
            chunk[keep].to_csv(out, index=False, header=False, lineterminator="\n")
            read += len(chunk)
            kept += int(keep.sum())
    return read - 1, read - kept


def main() -> int:
    try:
        base = Path(os.environ["SOURCE_PATH"]) / os.environ["CLIENT_ID"]
    except KeyError as missing:
        print(f"clientbatchingestapp.py: {missing} is not set", file=sys.stderr)
        return 64
    failed = 0
    for source in sorted((base / "in").iterdir()):
        if not source.is_file() or source.name.startswith(".") or source.name.endswith((".tmp", ".part")):
            continue
        temporary = base / "out" / ".clientbatchingestapp.tmp"
        try:
            records, dropped = drop_nulls(source, temporary)
            temporary.rename(base / "out" / source.name)
            print(f"clientbatchingestapp.py: {source.name}: {records} records, {dropped} dropped for a null value",
                  file=sys.stderr)
        except (OSError, ValueError) as problem:
            temporary.unlink(missing_ok=True)
            print(f"clientbatchingestapp.py: {source.name}: {problem}; nothing of it is in out/", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
