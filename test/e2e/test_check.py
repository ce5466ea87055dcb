"""`mysimbdp check` and `ingest`: rules by case files, counts against an independent reader, the JSON object, exit
codes, what people see, and that both verbs agree on every file."""

import fcntl
import gzip
import json
import os
import random
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from conftest import BIN, ROOT, run, select, wait_until

CASES = [pytest.param(case, id=f"{path.stem}: {case['case']}")
         for path in sorted((ROOT / "test/cases/rules").glob("*.json")) for case in json.loads(path.read_text())]

AGREEMENT = {"client": "client_x", "data_retention_period_days": 1, "schedule": "0 * * * *",
             "resources": {"requests": {"memory": "64Mi", "cpu": "250m"}, "limits": {"memory": "128Mi", "cpu": "500m"}}}


def avro(name, text):
    """A field from its short form."""
    nullable = text.endswith("?")
    text = text.rstrip("?")
    decimal = re.fullmatch(r"decimal\((\d+),(\d+)\)", text)
    if decimal:
        kind = {"type": "bytes", "logicalType": "decimal", "precision": int(decimal[1]), "scale": int(decimal[2])}
    elif text == "date":
        kind = {"type": "string", "logicalType": "date"}
    elif text.startswith("timestamp"):
        kind = {"type": "long", "logicalType": text}
    else:
        kind = text
    return {"name": name, "type": ["null", kind] if nullable else kind}


def documents(tmp_path, fields, key=(), quality=None, **more):
    """Writes both documents; the command-line options that name them."""
    config = {"name": "cases", "file_type": "csv", "key_space": "ks", "csv.first.row.as.header": "true",
              "schema": {"type": "record", "name": "t", "fields": [avro(n, t) for n, t in fields.items()]},
              "primary_key": list(key), "max_file_size_mb": 50} | more
    (tmp_path / "data-file.json").write_text(json.dumps(config))
    options = ["--config", tmp_path / "data-file.json"]
    if quality is not None:
        (tmp_path / "service-agreement.json").write_text(json.dumps(AGREEMENT | {"quality": quality}))
        options += ["--agreement", tmp_path / "service-agreement.json"]
    return options


def write(tmp_path, lines, name="file.csv"):
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n", newline="")
    return path


def result(*arguments, code=None):
    done = run(*arguments, code=code)
    assert done.stdout.count("\n") == 1 and done.stdout.endswith("\n")
    return json.loads(done.stdout), done


@pytest.mark.parametrize("case", CASES)
def test_rules(tmp_path, case):
    options = documents(tmp_path, case["fields"], case.get("key", ()), case["quality"])
    path = write(tmp_path, case["csv"])
    if "now" in case:
        options += ["--now", case["now"]]
    if "errors" in case:
        done = run("check", "--json", *options, path, code=78)
        assert done.stdout == ""
        for text in case["errors"]:
            assert text in done.stderr, done.stderr
        return
    refused = "refused" in case
    code = 2 if refused else 1 if case["rejected"] else 0
    found, done = result("check", "--json", *options, path, code=code)
    n = len(case["csv"]) - 1
    assert (found["records"], found["rejected"], found["accepted"]) == (n, len(case["rejected"]), n - len(case["rejected"]))
    assert found["defects"] == case["defects"]
    assert found["files"][0]["state"] == ("refused" if refused else "checked")
    if refused:
        assert case["refused"] in found["files"][0]["reason"]
    same, _ = result("ingest", "--json", *options, "--to", f"sqlite:{tmp_path}/out", path, code=code)
    assert {k: same[k] for k in ("records", "accepted", "rejected", "defects")} == \
           {k: found[k] for k in ("records", "accepted", "rejected", "defects")}
    assert same["delivered"] == (0 if refused else found["accepted"])
    rows = [r for r, in select(tmp_path / "out/ks.db", "SELECT _mysimbdp_row FROM t ORDER BY 1")]
    if refused:
        assert rows == []
    elif not case.get("key"):
        assert rows == [r for r in range(1, n + 1) if r not in case["rejected"]]


FIELDS = {"id": "long", "v": "int", "s": "string?"}
LINES = ["id,v,s", "1,10,a", "2,five,b", "3,,c", "4,40", "5,50,\"e\"", "6,60,"]
KEYS = {"records", "accepted", "rejected", "bytes", "seconds", "defects"}


def test_json(tmp_path):
    options = documents(tmp_path, FIELDS, ["id"])
    path = write(tmp_path, LINES)
    found, done = result("check", "--json", *options, path, code=1)
    assert set(found) == KEYS | {"files"}
    assert set(found["files"][0]) == KEYS | {"file", "state", "already"}
    assert found["bytes"] == path.stat().st_size
    assert found["defects"] == {"type": 1, "not_null": 1, "field_count": 1}
    assert done.stderr == ""
    found, done = result("ingest", "--json", *options, "--to", f"sqlite:{tmp_path}/out", path, code=1)
    assert set(found) == KEYS | {"files", "delivered"}
    assert set(found["files"][0]) == KEYS | {"file", "sha256", "state", "already", "delivered"}
    assert found["delivered"] == 3 and found["files"][0]["already"] is False


def test_verdict_documents(tmp_path):
    rules = {"rules": [{"rule": "range", "column": "v", "max": 45, "budget": "50%"}]}
    options = documents(tmp_path, FIELDS, ["id"], rules) + ["--verdict", tmp_path / "verdicts"]
    run("check", *options, write(tmp_path, LINES), write(tmp_path, ["id,v,s", "1,90,a"], "b.csv"), code=2)
    first, second = map(json.loads, (tmp_path / "verdicts").read_text().splitlines())
    assert first["defects"] == {"type": 1, "not_null": 1, "field_count": 1, "range": 2} and not first["refused"]
    assert first["rules"][-1] == {"rule": "range", "field": "v", "action": "record", "records": 2, "budget": "50%",
                                  "budget_used_up": False}
    assert second["refused"] and "the budget is 50%" in second["reason"]
    run("check", *options[:-1], tmp_path / "none/x", tmp_path / "file.csv", code=3)


def test_rejects(tmp_path):
    options = documents(tmp_path, FIELDS, ["id"], {"rules": [{"rule": "unique"}]})
    path = write(tmp_path, LINES + ["1,9,\"late\nrecord\""])
    for verb, more in (("check", []), ("ingest", ["--to", f"sqlite:{tmp_path}/out"])):
        run(verb, *options, *more, "--rejects", tmp_path / "r.csv", "--show", "1", path, code=1)
        assert (tmp_path / "r.csv").read_text() == "id,v,s\n2,five,b\n3,,c\n4,40\n1,9,\"late\nrecord\"\n"
    run("check", *options, "--rejects", tmp_path / "r.jsonl", path, code=1)
    found = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [(f["row"], f["line"], f["rule"], f["field"]) for f in found] == [
        (2, 3, "type", "v"), (3, 4, "not_null", "v"), (4, 5, "field_count", None), (7, 8, "unique", "id")]
    assert found[3]["record"] == "1,9,\"late\nrecord\"" and found[3]["file"] == str(path)
    run("check", *options, "--rejects", tmp_path / "none/x", path, code=3)


def test_exit_codes(tmp_path):
    options = documents(tmp_path, FIELDS, ["id"])
    good = write(tmp_path, ["id,v,s", "1,1,a"], "good.csv")
    bad = write(tmp_path, LINES, "bad.csv")
    lacking = write(tmp_path, ["id,s", "1,a"], "lacking.csv")
    run("check", *options, good, code=0)
    run("check", *options, good, bad, code=1)
    run("check", *options, good, lacking, bad, code=2)
    run("check", *options, lacking, tmp_path / "none.csv", good, code=3)
    run("check", good, code=64)
    run("check", *options, code=64)
    run("check", *options, "--simd", "mmx", good, code=64)
    run("check", *options, "--source-batch", "0", good, code=64)
    run("check", *options, "--now", "later", good, code=64)
    run("ingest", *options, good, code=64)
    run("ingest", *options, "--to", "oracle:x", good, code=64)
    run("check", "--config", tmp_path / "none.json", good, code=78)
    (tmp_path / "broken.json").write_text("{")
    run("check", "--config", tmp_path / "broken.json", good, code=78)


def test_the_other_files_go_on(tmp_path):
    options = documents(tmp_path, FIELDS, ["id"])
    paths = [write(tmp_path, ["id,v,s", "1,1,a"], "a.csv"), tmp_path / "none.csv", tmp_path,
             write(tmp_path, ["id,v,s", "2,1,a"], "b.csv")]
    for verb, more in (("check", []), ("ingest", ["--to", f"sqlite:{tmp_path}/out"])):
        found, done = result(verb, "--json", *options, *more, *paths, code=3)
        assert [f["state"] for f in found["files"]][1:3] == ["failed", "failed"]
        assert found["accepted"] == 2
        assert "none.csv" in done.stderr


def test_standard_input(tmp_path):
    options = documents(tmp_path, FIELDS, ["id"], {"rules": [{"rule": "unique"}]})
    text = ("\n".join(LINES) + "\n1,5,again\n").encode()
    found = json.loads(run("check", "--json", *options, "-", stdin=text, code=1).stdout)
    assert (found["records"], found["rejected"], found["files"][0]["file"]) == (7, 4, "-")
    to = ["--to", f"sqlite:{tmp_path}/out"]
    for _ in range(2):  # no identity: never "already"
        found = json.loads(run("ingest", "--json", *options, *to, "-", stdin=text, code=1).stdout)
        assert found["files"][0]["already"] is False and found["files"][0]["sha256"] is None
        assert found["delivered"] == 3
    assert select(tmp_path / "out/ks.db", "SELECT id, s FROM t ORDER BY id") == [(1, "a"), (5, "e"), (6, None)]
    assert not [n for n in os.listdir(tmp_path / "out") if n.startswith(".stream")]


def test_a_named_pipe_is_read_once(tmp_path):
    """As `<(zcat x.csv.gz)` gives it: all of it arrives, it has no identity, and nobody waits for a second writer."""
    options = documents(tmp_path, FIELDS, ["id"], {"rules": [{"rule": "unique"}]})
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for verb, more in (("check", []), ("ingest", ["--to", f"sqlite:{tmp_path}/out"])):
        writer = threading.Thread(target=pipe.write_text, args=["\n".join(LINES) + "\n1,5,again\n"])
        writer.start()
        found = json.loads(run(verb, "--json", *options, *more, pipe, code=1).stdout)
        writer.join()
        assert (found["records"], found["rejected"], found["files"][0].get("sha256")) == (7, 4, None)
    assert select(tmp_path / "out/ks.db", "SELECT id, s FROM t ORDER BY id") == [(1, "a"), (5, "e"), (6, None)]
    assert "pipe" in run("infer", pipe, code=64).stderr


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("verb", ["check", "ingest"])
def test_waiting_for_a_pipe_can_be_interrupted(verb, opened, tmp_path):
    options = documents(tmp_path, FIELDS, ["id"]) + (["--to", f"sqlite:{tmp_path}/out"] if verb == "ingest" else [])
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR) if opened else None
    process = subprocess.Popen([str(a) for a in [BIN, verb, *options, pipe]], stderr=subprocess.DEVNULL)
    state = Path(f"/proc/{process.pid}/stat")
    wait_until(lambda: state.read_text().rsplit(")", 1)[1].split()[0] == "S", what="waiting for the pipe")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 4
    if opened:
        os.close(writer)


def test_already_again_and_a_new_content(tmp_path):
    options = documents(tmp_path, FIELDS, ["id"]) + ["--to", f"sqlite:{tmp_path}/out"]
    path = write(tmp_path, ["id,v,s", "1,1,a", "2,x,b"])
    first, _ = result("ingest", "--json", *options, path, code=1)
    second, _ = result("ingest", "--json", *options, path, code=1)  # nothing is done, the verdict is told again
    assert second["defects"] == {"type": 1} and second["rejected"] == 1
    assert second["files"][0]["already"] is True and second["files"][0]["state"] == "already"
    assert second["files"][0]["sha256"] == first["files"][0]["sha256"]
    other = tmp_path / "elsewhere"
    other.mkdir()
    assert result("ingest", "--json", *options, write(other, ["id,v,s", "1,1,a", "2,x,b"]), code=1)[0]["files"][0]["already"]
    third, _ = result("ingest", "--json", "--again", *options, path, code=1)
    assert third["delivered"] == 1 and not third["files"][0]["already"]
    fourth, _ = result("ingest", "--json", *options, write(tmp_path, ["id,v,s", "1,7,a"]), code=0)
    assert fourth["delivered"] == 1
    assert select(tmp_path / "out/ks.db", "SELECT id, v FROM t") == [(1, 7)]


def test_a_refused_file_may_be_mended_by_its_documents(tmp_path):
    path = write(tmp_path, ["id,v,s", "1,1,a", "2,900,b"])
    rule = {"rule": "range", "column": "v", "max": 100, "action": "file"}
    to = ["--to", f"sqlite:{tmp_path}/out"]
    run("ingest", *documents(tmp_path, FIELDS, ["id"], {"rules": [rule]}), *to, path, code=2)
    assert select(tmp_path / "out/ks.db", "SELECT count(*) FROM t") == [(0,)]
    run("ingest", *documents(tmp_path, FIELDS, ["id"], {"rules": [rule | {"action": "record"}]}), *to, path, code=1)
    assert select(tmp_path / "out/ks.db", "SELECT id FROM t") == [(1,)]


def test_file_over_the_platforms_size_is_only_a_warning(tmp_path):
    options = documents(tmp_path, {"a": "string"}, max_file_size_mb=1)
    path = write(tmp_path, ["a"] + ["x" * 1000] * 1200)
    assert "max_file_size_mb" in run("check", *options, path, code=0).stderr
    assert run("check", "--quiet", *options, path, code=0).stderr == ""


def test_extra_columns_are_told(tmp_path):
    options = documents(tmp_path, {"a": "int"})
    done = run("check", *options, write(tmp_path, ["a,note", "1,x"]), code=0)
    assert "note" in done.stderr and "warning" in done.stderr


# ---- what people see

def test_defects_like_a_compiler(tmp_path):
    options = documents(tmp_path, FIELDS, ["id"])
    path = write(tmp_path, LINES)
    lines = run("check", *options, path, code=1).stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{path}:3:3: type: v: "))
    assert "five" in lines[at]
    assert lines[at + 1] == "    2,five,b" and lines[at + 2] == "      ^^^^"
    assert any("3 rejected" in line and "3 of 6" in line for line in lines)
    assert "\x1b" not in "".join(lines)
    assert run("check", "--show", "0", *options, path, code=1).stdout.count(str(path)) == 1


def test_late_duplicates_are_shown(tmp_path):
    options = documents(tmp_path, FIELDS, ["id"], {"rules": [{"rule": "unique"}]})
    out = run("check", *options, write(tmp_path, ["id,v,s", "1,1,a", "2,1,b", "1,1,c"]), code=1).stdout
    assert ":4:1: unique: id: same id as record 1" in out


def test_the_cell_is_marked_on_a_terminal(tmp_path):
    options = documents(tmp_path, FIELDS, ["id"])
    long = "x" * 500
    path = write(tmp_path, ["id,v,s", f"1,five,{long}", f"\"2\",\"zwölf\nélf\",{long}", "3,\x1b[31mred,日本"])
    out = run("check", "--color", "always", *options, path, code=1, env={"COLUMNS": "60"}).stdout
    assert "\x1b[7mfive\x1b[0m" in out and "\x1b[7mzwölf\x1b[0m" in out
    assert "\x1b[31mred" not in out.replace("\x1b[31m\x1b[7m", "")  # a tenant's escape codes reach no terminal
    for line in re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines():
        if line.startswith("    "):
            assert len(line) <= 60


# ---- larger files, resources, two at once

def big_file(tmp_path, n, seed=1):
    rng = random.Random(seed)
    rejected = 0
    lines = ["id,v,s"]
    for i in range(n):
        v = "x" if rng.random() < 0.01 else str(rng.randrange(1000))
        rejected += v == "x"
        lines.append(f"{rng.randrange(n)},{v},{'text ' * rng.randrange(5)}")
    return write(tmp_path, lines, f"big{seed}.csv"), rejected


@pytest.mark.parametrize("more", [["--simd", "portable"], ["--simd", "avx2"], ["--source-batch", "7"], ["--source-batch", "65536"]])
def test_the_same_whatever_the_batch(tmp_path, more):
    rules = {"rules": [{"rule": "unique"}, {"rule": "range", "column": "v", "max": 990},
                       {"rule": "length", "column": "s", "max": 15, "action": "warn"}]}
    options = documents(tmp_path, FIELDS, ["id"], rules)
    path, _ = big_file(tmp_path, 20000)
    want, _ = result("check", "--json", *options, path, code=1)
    found, _ = result("check", "--json", *options, *more, path, code=1)
    assert [found[k] for k in ("records", "rejected", "defects")] == [want[k] for k in ("records", "rejected", "defects")]


def test_uniqueness_against_a_set(tmp_path):
    options = documents(tmp_path, FIELDS, ["id"], {"rules": [{"rule": "unique"}]})
    path, rejected = big_file(tmp_path, 200000)
    seen, late = set(), 0
    for line in path.read_text().splitlines()[1:]:
        key, v, _ = line.split(",", 2)
        if v != "x":
            late += key in seen
            seen.add(key)
    found, _ = result("check", "--json", "--sort-memory", "1Mi", *options, path, code=1)
    assert found["defects"] == {"type": rejected, "unique": late}
    assert found["rejected"] == rejected + late
    to = ["--to", f"sqlite:{tmp_path}/out"]
    found, _ = result("ingest", "--json", *options, *to, path, code=1)
    assert found["rejected"] == rejected + late and found["delivered"] == len(seen)
    assert select(tmp_path / "out/ks.db", "SELECT count(*) FROM t") == [(len(seen),)]


def test_gzip_counts_decoded_bytes(tmp_path):
    options = documents(tmp_path, FIELDS, ["id"])
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(("\n".join(LINES) + "\n").encode()))
    found, _ = result("check", "--json", *options, path, code=1)
    assert found["bytes"] == len("\n".join(LINES)) + 1 and found["records"] == 6
    path.write_bytes(path.read_bytes()[:-9])
    found, _ = result("check", "--json", *options, path, code=2)
    assert found["files"][0]["state"] == "refused"


def test_two_ingests_take_turns(tmp_path):
    options = documents(tmp_path, FIELDS, ["id"])
    command = [BIN, "ingest", *options, "--to", f"sqlite:{tmp_path}/out"]
    files = [write(tmp_path, ["id,v,s"] + [f"{i},{n},x" for i in range(5000)], f"f{n}.csv") for n in range(4)]
    (tmp_path / "out").mkdir()
    with open(tmp_path / "out/ingest.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = [subprocess.Popen([*map(str, command), str(f)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                   for f in files]
        assert b"waiting for it" in waiting[0].stderr.readline()
    for process in waiting:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert select(tmp_path / "out/ks.db", "SELECT count(*), count(DISTINCT v) FROM t") == [(5000, 1)]


def test_a_waiting_ingest_can_be_interrupted(tmp_path):
    options = documents(tmp_path, FIELDS, ["id"])
    path = write(tmp_path, ["id,v,s", "1,1,a"])
    (tmp_path / "out").mkdir()
    with open(tmp_path / "out/ingest.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen([str(a) for a in [BIN, "ingest", *options, "--to", f"sqlite:{tmp_path}/out", path]],
                                   stderr=subprocess.PIPE)
        assert b"waiting" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 4
        process.stderr.close()
