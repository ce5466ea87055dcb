"""Kill the stand-alone ingest at every stage and at random moments: afterwards the tables, the quarantine and the
ledger equal those of an undisturbed run."""
import json
import os
import random
import signal
import sqlite3
import subprocess
import time

import pytest

BIN = os.environ.get("MYSIMBDP_BIN", "build/mysimbdp")
ROWS = 30000

POINTS = [
    "gate.batch", "extsort.spill", "quarantine.commit", "ledger.commit", "sink.begin", "sink.write.before",
    "sink.commit.before", "sink.commit.after", "ingest.delivered", "ingest.done",
]


def config(key):
    return {
        "name": "kill", "file_type": "csv", "key_space": "ks", "csv.first.row.as.header": True,
        "schema": {"type": "record", "name": "t", "fields": [
            {"name": "id", "type": "long"}, {"name": "word", "type": "string"},
            {"name": "n", "type": ["null", "int"]}, {"name": "x", "type": "double"}]},
        "primary_key": key, "max_file_size_mb": 50,
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    d = tmp_path_factory.mktemp("kill")
    rnd = random.Random(11)
    ids = list(range(ROWS))
    rnd.shuffle(ids)
    with open(d / "rows.csv", "w") as f:
        f.write("id,word,n,x\n")
        for i in ids:
            n = "" if i % 5 == 0 else "bad" if i % 97 == 0 else str(i % 1000)
            f.write(f'{i % (ROWS - 500)},"w{i} ""q"", {"é" * (i % 4)}",{n},{i / 7!r}\n')
            if i % 1013 == 0:
                f.write(f"{i},ragged\n")
    for name, key in (("keyed", ["id"]), ("append", [])):
        (d / f"{name}.json").write_text(json.dumps(config(key)))
    return d


def command(data, name, to):
    return [BIN, "ingest", "--config", str(data / f"{name}.json"), "--to", f"sqlite:{to}", "--json",
            "--source-batch", "500", "--sink-batch", "2000", str(data / "rows.csv")]


def ingest(data, name, to, fault=None):
    env = dict(os.environ, **({"MYSIMBDP_FAULT": fault} if fault else {}))
    return subprocess.run(command(data, name, to), env=env, capture_output=True, text=True, timeout=120)


def contents(to):
    """All that must be equal: rows with their lineage, quarantine, and row versions relative to their base."""
    with sqlite3.connect(f"file:{to}/ks.db?mode=ro", uri=True) as c:
        rows = c.execute("SELECT id, word, n, x, _mysimbdp_row, _mysimbdp_version FROM t").fetchall()
    base = min(r[5] - r[4] for r in rows)
    rows = sorted(r[:5] + (r[5] - base,) for r in rows)
    with sqlite3.connect(f"file:{to}/quarantine.db?mode=ro", uri=True) as c:
        names = [r[0] for r in c.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        assert names
    listed = subprocess.run([BIN, "quarantine", "list", "--db", str(to), "--json", "--limit", "1000"],
                            capture_output=True, text=True, check=True)
    entries = json.loads(listed.stdout)
    entries = entries["records"]
    bad = sorted((e["row"], e["line"], e["stage"], e["rule"], e["reason"]) for e in entries)
    return rows, bad


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    out = {}
    for name in ("keyed", "append"):
        to = tmp_path_factory.mktemp("calm")
        r = ingest(data, name, to)
        assert r.returncode == 1, r.stderr
        out[name] = (contents(to), json.loads(r.stdout))
    return out


def finish(data, name, to):
    r = ingest(data, name, to)
    assert r.returncode == 1, (r.returncode, r.stdout, r.stderr)
    return json.loads(r.stdout)


def same_result(a, b):
    keys = ("records", "accepted", "rejected", "delivered", "defects")
    assert {k: a[k] for k in keys} == {k: b[k] for k in keys}


@pytest.mark.parametrize("name", ["keyed", "append"])
@pytest.mark.parametrize("point", POINTS)
def test_kill_at_each_stage(data, undisturbed, tmp_path, name, point):
    killed = 0
    for passage in (1, 2, 5, 9):
        r = ingest(data, name, tmp_path, f"{point}=kill@{passage}")
        if r.returncode == -signal.SIGKILL:
            killed += 1
    assert killed or point == "extsort.spill", "the point was never passed"
    result = finish(data, name, tmp_path)
    same_result(result, undisturbed[name][1])
    assert contents(tmp_path) == undisturbed[name][0]
    again = json.loads(ingest(data, name, tmp_path).stdout)
    assert again["files"][0]["already"] is True


@pytest.mark.parametrize("name", ["keyed", "append"])
def test_kill_at_random_moments(data, undisturbed, tmp_path, name):
    """Kill again and again until five kills hit a running process; how long a run takes is learnt on the way."""
    rnd = random.Random(name)
    longest, kills, directory = 0.5, 0, 0
    for _ in range(60):
        started = time.monotonic()
        p = subprocess.Popen(command(data, name, tmp_path / str(directory)), stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        try:
            p.wait(timeout=rnd.uniform(0.05, 0.95) * longest)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
            kills += 1
            if kills == 5:
                break
            continue
        longest = min(longest, time.monotonic() - started)
        directory, kills = directory + 1, 0   # it came to its end: begin anew
    assert kills == 5
    result = finish(data, name, tmp_path / str(directory))
    same_result(result, undisturbed[name][1])
    assert contents(tmp_path / str(directory)) == undisturbed[name][0]


def test_interrupt_is_resumable(data, undisturbed, tmp_path):
    """SIGINT: exit code 4, and the same command goes on."""
    env = dict(os.environ, MYSIMBDP_FAULT="sink.commit.before=delay:200@*")
    p = subprocess.Popen(command(data, "keyed", tmp_path), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not os.path.exists(tmp_path / "ks.db") and time.monotonic() < deadline:
        time.sleep(0.01)
    p.send_signal(signal.SIGINT)
    p.wait(timeout=60)
    assert p.returncode in (1, 4)
    if p.returncode == 4:
        same_result(finish(data, "keyed", tmp_path), undisturbed["keyed"][1])
    assert contents(tmp_path) == undisturbed["keyed"][0]
