"""Quarantine and ledger: list, show, export, propose, replay, and the balance recounted from evidence.

Stand-alone (--db DIR) and on a platform; what is in the databases is read with Python's sqlite3, exported files with
Python's csv. Tampering with any of the three kinds of evidence must be found.
"""

import csv
import io
import json
import os
import signal
import sqlite3
import subprocess

import pytest

import small_tenant
from conftest import BIN, EXAMPLES, ROOT, run, select, wait_until

ONU = EXAMPLES / "client_a/ONUData-sample_min_1 23.08.58.csv"
CONFIG = EXAMPLES / "client_a/data-file.json"


@pytest.fixture
def out(tmp_path):
    """client_a's file, as it is, in a directory of its own."""
    run("ingest", "--config", CONFIG, "--to", f"sqlite:{tmp_path}/out", ONU, code=1)
    return tmp_path / "out"


def small(tmp_path, name="small", type="int", rules=None, **changes):
    """A small configuration (and agreement with rules), as --config and --agreement arguments."""
    config = tmp_path / f"{name}.json"
    config.write_text(json.dumps({
        "name": "small", "file_type": "csv", "key_space": "ks", "csv.first.row.as.header": True,
        "schema": {"type": "record", "name": "small",
                   "fields": [{"name": "id", "type": "string"}, {"name": "n", "type": type}]},
        "primary_key": ["id"]} | changes, indent=2))
    arguments = ["--config", config]
    if rules:
        agreement = tmp_path / f"{name}-agreement.json"
        agreement.write_text(json.dumps({"client": "small", "quality": {"rules": rules}}))
        arguments += ["--agreement", agreement]
    return arguments


def as_json(*arguments, **options):
    return json.loads(run(*arguments, "--json", **options).stdout)


def listed(out, *filters):
    return as_json("quarantine", "list", "--db", out, *filters)


def balance(out, *arguments, code=0):
    return as_json("ledger", "check", "--db", out, *arguments, code=code)


# ---- list, show, export

def test_list(out):
    answer = listed(out)
    assert [(e["line"], e["rule"], e["field"]) for e in answer["records"]] == [(2, "type", "IFINDEX"),
                                                                             (4, "not_null", "SPEEDIN")]
    lines = ONU.read_text().splitlines()
    for entry in answer["records"]:
        assert entry["raw"] == lines[entry["line"] - 1]
        assert ONU.read_bytes()[entry["offset"]:].startswith(entry["raw"].encode())
        assert entry["header"] == lines[0]
        assert entry["file"] == ONU.name
    assert {(c["rule"], c["open"]) for c in answer["counts"]} == {("type", 1), ("not_null", 1)}
    assert len(listed(out, "--rule", "type")["records"]) == 1
    assert len(listed(out, "--field", "SPEEDIN")["records"]) == 1
    assert listed(out, "--state", "replayed")["records"] == []
    page = listed(out, "--limit", "1")
    assert [e["line"] for e in listed(out, "--limit", "1", "--cursor", page["next"])["records"]] == [4]
    people = run("quarantine", "list", "--db", out).stdout
    assert "6828878457269" in people and "IFINDEX" in people and "\x1b" not in people


def test_list_of_nothing(tmp_path):
    done = run("quarantine", "list", "--db", tmp_path)
    assert done.stdout == "" and "no such records" in done.stderr
    assert "no directory" in run("quarantine", "list", "--db", tmp_path / "missing", code=3).stderr
    assert "whose quarantine" in run("quarantine", "list", code=64).stderr
    assert "list, show, export" in run("quarantine", "lsit", "--db", tmp_path, code=64).stderr
    assert "o12" in run("quarantine", "list", "--db", tmp_path, "--output", "x", code=64).stderr


def test_show(out):
    shown = run("quarantine", "show", "--db", out, "q1").stdout
    head, record, mark = shown.splitlines()[:3]
    assert ":2:19: type: IFINDEX" in head
    assert record[mark.index("^"):mark.rindex("^") + 1] == "6828878457269"
    assert as_json("quarantine", "show", "--db", out, "q2")["field"] == "SPEEDIN"
    run("quarantine", "show", "--db", out, "q99", code=3)
    run("quarantine", "show", "--db", out, "nonsense", code=64)


def test_export_is_a_file_again(out, tmp_path):
    exported = run("quarantine", "export", "--db", out).stdout
    rows = list(csv.DictReader(io.StringIO(exported, newline="")))
    assert [r["IFINDEX"] for r in rows] == ["6828878457269", "268501504"]
    target = tmp_path / "bad.csv"
    run("quarantine", "export", "--db", out, "--out", target)
    assert target.read_text() == exported
    run("quarantine", "export", "--db", out, "--out", target, code=3)      # never overwrites
    assert run("check", "--config", CONFIG, target, code=1)
    lines = [json.loads(l) for l in run("quarantine", "export", "--db", out, "--json").stdout.splitlines()]
    assert [l["id"] for l in lines] == ["q1", "q2"]


def test_records_are_verbatim(tmp_path):
    arguments = small(tmp_path)
    body = b'id,n\r\n"a\nb",x\r\n"say ""hi""",y,extra\r\nc\xff,1\r\n"\x1b[31mred",z\r\n'
    file = tmp_path / "odd.csv"
    file.write_bytes(body)
    out = tmp_path / "out"
    run("ingest", *arguments, "--to", f"sqlite:{out}", file, code=1)
    raw = [r[0] for r in select(out / "quarantine.db", "SELECT CAST(raw AS BLOB) FROM entry ORDER BY row")]
    assert raw == [b'"a\nb",x', b'"say ""hi""",y,extra', b"c\xff,1", b'"\x1b[31mred",z']
    entries = listed(out)["records"]
    assert bytes.fromhex(entries[2]["raw_hex"]) == b"c\xff,1"
    assert "raw_hex" not in entries[0]
    for verb in (["list"], ["show", "q4"]):
        assert "\x1b" not in run("quarantine", verb[0], "--db", out, *verb[1:]).stdout
    assert os.stat(out / "quarantine.db").st_mode & 0o777 == 0o600


def test_export_of_files_with_different_headers(tmp_path):
    arguments, out = small(tmp_path), tmp_path / "out"
    (tmp_path / "a.csv").write_text("id,n\na,x\n")
    (tmp_path / "b.csv").write_text("n,id\ny,b\n")
    run("ingest", *arguments, "--to", f"sqlite:{out}", tmp_path / "a.csv", tmp_path / "b.csv", code=1)
    assert "different header" in run("quarantine", "export", "--db", out, code=3).stderr
    assert run("quarantine", "export", "--db", out, "--output", "o2").stdout == "n,id\ny,b\n"


# ---- propose and replay

def test_propose_and_replay(out, tmp_path):
    proposal = as_json("quarantine", "propose", "--db", out, "--config", CONFIG)
    changes = {(c["field"], c["from"], c["to"]): c["because"] for c in proposal["changes"]}
    assert changes == {
        ("IFINDEX", "int", "long"): "6828878457269 fits no int",
        ("ONUID", "int", "string"): "222277164261810113006 fits no long",
        ("SPEEDIN", "double", "union of null and double"): "1 record has no value"}
    assert (proposal["helped"], proposal["left"]) == (2, 0)

    new = tmp_path / "new.json"
    done = run("quarantine", "propose", "--db", out, "--config", CONFIG)
    assert done.stdout == proposal["data_file"]
    assert "222277164261810113006 fits no long" in done.stderr
    new.write_text(done.stdout)
    before, after = CONFIG.read_text().splitlines(), new.read_text().splitlines()
    assert len(before) == len(after)
    assert sum(a != b for a, b in zip(before, after)) == 3               # and not one blank elsewhere
    run("check", "--config", new, ONU)

    dry = as_json("quarantine", "replay", "--db", out, "--config", new, "--dry-run")
    assert (dry["tried"], dry["passed"], dry["delivered"]) == (2, 2, 0)
    assert len(listed(out)["records"]) == 2
    assert as_json("quarantine", "replay", "--db", out, "--config", new)["passed"] == 2
    assert as_json("quarantine", "replay", "--db", out, "--config", new)["tried"] == 0
    rows = select(out / "mysimbdp_coredms.db", "SELECT ONUID, IFINDEX, SPEEDIN, _mysimbdp_row FROM analytics "
                  "ORDER BY _mysimbdp_row")
    assert rows[0] == ("222277164261810113006", 6828878457269, 541783.0, 1)
    assert [r[3] for r in rows] == [1, 2, 3, 5]       # record 4 has the key of record 5, which is later
    versions = select(out / "mysimbdp_coredms.db", "SELECT DISTINCT _mysimbdp_version - _mysimbdp_row FROM analytics")
    assert len(versions) == 1
    assert balance(out, "--config", new, ONU)["balanced"]


def test_replay_of_a_correction_loses_to_newer_rows(tmp_path):
    arguments, out = small(tmp_path), tmp_path / "out"
    (tmp_path / "a.csv").write_text("id,n\nk,6828878457269\n")
    (tmp_path / "b.csv").write_text("id,n\nk,7\n")
    for name, code in (("a.csv", 1), ("b.csv", 0)):
        run("ingest", *arguments, "--to", f"sqlite:{out}", tmp_path / name, code=code)
    wide = small(tmp_path, "wide", "long")
    assert as_json("quarantine", "replay", "--db", out, *wide)["passed"] == 1
    assert select(out / "ks.db", "SELECT n FROM small") == [(7,)]
    assert balance(out, *wide, tmp_path / "a.csv", tmp_path / "b.csv")["balanced"]


def test_replay_after_a_rule_change(tmp_path):
    strict = small(tmp_path, "strict", rules=[{"rule": "range", "column": "n", "max": 5}])
    loose = small(tmp_path, "loose", rules=[{"rule": "range", "column": "n", "max": 50}])
    out = tmp_path / "out"
    (tmp_path / "a.csv").write_text("id,n\na,1\nb,10\nc,100\n")
    run("ingest", *strict, "--to", f"sqlite:{out}", tmp_path / "a.csv", code=1)
    result = as_json("quarantine", "replay", "--db", out, *loose)
    assert (result["tried"], result["passed"], result["still_bad"]) == (2, 1, 1)
    assert select(out / "ks.db", "SELECT id FROM small ORDER BY 1") == [("a",), ("b",)]
    assert "50" in listed(out)["records"][0]["reason"]                    # the reason that holds today
    assert as_json("quarantine", "propose", "--db", out, *loose)["data_file"] is None


def test_too_long_a_row_is_kept_in_part_and_says_so(tmp_path):
    arguments, out = small(tmp_path), tmp_path / "out"
    (tmp_path / "a.csv").write_bytes(b"id,n\na," + b"9" * (5 << 20) + b"\nb,1\n")
    run("ingest", *arguments, "--to", f"sqlite:{out}", tmp_path / "a.csv", code=1)
    [entry] = listed(out)["records"]
    assert entry["rule"] == "row_too_long" and entry["cut"]
    assert "start was kept" in run("quarantine", "show", "--db", out, entry["id"]).stdout
    assert as_json("quarantine", "replay", "--db", out, *arguments)["still_bad"] == 1
    assert "left out" in run("quarantine", "export", "--db", out).stderr


FAULTS = ["replay.delivered=kill", "quarantine.commit=kill", "replay.marked=kill", "ledger.commit=kill@2",
          "sink.commit.before=kill", "sink.commit.after=kill"]


@pytest.mark.parametrize("fault", FAULTS)
def test_killed_replay_goes_on(fault, out, tmp_path):
    new = tmp_path / "new.json"
    new.write_text(run("quarantine", "propose", "--db", out, "--config", CONFIG).stdout)
    arguments = ["quarantine", "replay", "--db", out, "--config", new]
    killed = run(*arguments, code=None, env={"MYSIMBDP_FAULT": fault})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    run(*arguments)
    assert len(select(out / "mysimbdp_coredms.db", "SELECT 1 FROM analytics")) == 4
    checked = balance(out, "--config", new, ONU)
    assert checked["balanced"], checked
    assert (checked["accepted"], checked["delivered"], checked["rejected"]) == (5, 5, 0)


def test_one_writer(out, tmp_path):
    held = subprocess.Popen(["flock", out / "ingest.lock", "cat"], stdin=subprocess.PIPE)
    try:
        wait_until(lambda: subprocess.run(["flock", "-n", out / "ingest.lock", "true"]).returncode, 10, "the lock")
        done = run("quarantine", "replay", "--db", out, "--config", CONFIG, code=3)
        assert "another process writes" in done.stderr
    finally:
        held.communicate()


# ---- the ledger's balance

def tampered(database, sql):
    with sqlite3.connect(database) as connection:
        assert connection.execute(sql).rowcount > 0, sql


TAMPERING = [
    ("quarantine.db", "DELETE FROM entry WHERE row = 1", "quarantine"),
    ("quarantine.db", "UPDATE entry SET state = 'replayed' WHERE row = 1", "quarantine"),
    ("ledger.db", "UPDATE output SET rejected = rejected + 1", "rejected"),
    ("ledger.db", "UPDATE output SET records = 7", "records"),
    ("ledger.db", "UPDATE output SET accepted = 4, rejected = 1", "accepted"),
    ("ledger.db", "UPDATE output SET delivered = 1", "delivered"),
    ("mysimbdp_coredms.db", "UPDATE _mysimbdp_position SET position = position - 1", "store took"),
    ("mysimbdp_coredms.db", "UPDATE _mysimbdp_position SET done = 0", "has not all"),
    ("mysimbdp_coredms.db", "DELETE FROM _mysimbdp_position", "never saw"),
    ("mysimbdp_coredms.db", "INSERT INTO analytics SELECT PROVINCECODE || x, DEVICEID, IFINDEX, FRAME, SLOT, PORT, "
     "ONUINDEX, ONUID, TIME, SPEEDIN, SPEEDOUT, _mysimbdp_file, _mysimbdp_row, _mysimbdp_version FROM analytics, "
     "(SELECT 'a' AS x UNION SELECT 'b')", "rows"),
]


@pytest.mark.parametrize("database, sql, told", TAMPERING, ids=lambda v: str(v)[:40])
def test_tampering_is_found(database, sql, told, out):
    assert balance(out, "--config", CONFIG, ONU)["balanced"]
    tampered(out / database, sql)
    checked = balance(out, "--config", CONFIG, ONU, code=1)
    assert not checked["balanced"]
    assert any(told in p for p in checked["outputs"][0]["problems"]), checked["outputs"][0]["problems"]
    people = run("ledger", "check", "--db", out, "--config", CONFIG, ONU, code=1).stdout
    assert "not balanced" in people and told in people


def test_a_table_without_key_has_every_row(tmp_path):
    arguments, out = small(tmp_path, primary_key=[]), tmp_path / "out"
    (tmp_path / "a.csv").write_text("id,n\na,1\na,1\nb,x\n")
    run("ingest", *arguments, "--to", f"sqlite:{out}", tmp_path / "a.csv", code=1)
    assert balance(out, *arguments, tmp_path / "a.csv")["balanced"]
    tampered(out / "ks.db", "DELETE FROM small WHERE _mysimbdp_row = 1")
    assert not balance(out, *arguments, code=1)["balanced"]


def test_repeats_balance(tmp_path):
    arguments = small(tmp_path, rules=[{"rule": "unique", "columns": ["n"]}])
    out = tmp_path / "out"
    (tmp_path / "a.csv").write_text("id,n\na,1\nb,1\nc,2\nd,2\ne,x\n")
    run("ingest", *arguments, "--to", f"sqlite:{out}", tmp_path / "a.csv", code=1)
    checked = balance(out, *arguments, tmp_path / "a.csv")
    assert (checked["records"], checked["accepted"], checked["rejected"]) == (5, 2, 3)
    assert (checked["delivered"], checked["outputs"][0]["refused_by_sink"]) == (2, 0)
    # The rule goes: what it held back comes, and the balance holds.
    plain = small(tmp_path, "plain")
    assert as_json("quarantine", "replay", "--db", out, *plain)["passed"] == 2
    assert balance(out, *plain)["balanced"]


def test_a_refused_file_balances(tmp_path):
    arguments, out = small(tmp_path), tmp_path / "out"
    (tmp_path / "a.csv").write_text("id\na\n")                            # column n is missing
    run("ingest", *arguments, "--to", f"sqlite:{out}", tmp_path / "a.csv", code=2)
    assert balance(out, *arguments, tmp_path / "a.csv")["balanced"]


def test_newer_databases_are_refused(out):
    for database, verb in (("quarantine.db", ["quarantine", "list"]), ("ledger.db", ["ledger", "check", "--config", CONFIG])):
        with sqlite3.connect(out / database) as connection:
            connection.execute("PRAGMA user_version = 99")
            connection.execute("UPDATE meta SET value = '9.9.9' WHERE key = 'program'")
        told = run(*verb, "--db", out, code=3).stderr
        assert "format 99" in told and "9.9.9" in told


# ---- on a platform

def test_on_a_platform(platform, tmp_path):
    small_tenant.add(platform, tmp_path, data_file={"schema": {"type": "record", "name": "small", "fields": [
        {"name": "id", "type": "string"}, {"name": "n", "type": "int"}]}})
    [id] = small_tenant.upload(platform, ("a.csv", b"id,n\na,1\nb,6828878457269\nc,x y\n"))
    small_tenant.run_now(platform)
    platform.wait_for_file(id, "delivered")

    here = json.loads(run("quarantine", "list", "acme", "--json", env={"MYSIMBDP_DATA": str(platform.data)}).stdout)
    there = json.loads(platform.cli("quarantine", "list", "acme", "--json").stdout)
    assert [e["raw"] for e in here["records"]] == [e["raw"] for e in there["records"]] == ["b,6828878457269", "c,x y"]
    assert "6828878457269" in platform.cli("quarantine", "show", "acme", here["records"][0]["id"]).stdout
    assert run("quarantine", "export", "acme", "--rule", "type",
               env={"MYSIMBDP_DATA": str(platform.data)}).stdout == "id,n\nb,6828878457269\nc,x y\n"

    proposed = platform.cli("quarantine", "propose", "acme", "--json").stdout
    assert json.loads(proposed)["changes"][0]["to"] == "string"           # x y is no number
    small_tenant.add(platform, tmp_path, data_file={"schema": {"type": "record", "name": "small", "fields": [
        {"name": "id", "type": "string"}, {"name": "n", "type": "long"}]}})
    result = json.loads(platform.cli("quarantine", "replay", "acme", "--dry-run", "--json").stdout)
    assert (result["passed"], result["still_bad"]) == (1, 1)
    result = json.loads(platform.cli("quarantine", "replay", "acme", "--json").stdout)
    assert (result["passed"], result["delivered"]) == (1, 1)
    assert small_tenant.rows(platform) == {"a": 1, "b": 6828878457269}

    checked = json.loads(platform.cli("ledger", "check", "acme", "--json").stdout)
    assert checked["balanced"] and checked["files_read"] == 1, checked
    assert checked["originals"]["kept"] == 1
    assert (checked["records"], checked["accepted"], checked["rejected"]) == (3, 2, 1)

    # Evidence that vanishes is missed: the upload's original, and a row of the quarantine.
    original = platform.data / "staging/acme/.files" / id[1:]
    original.rename(tmp_path / "taken")
    done = platform.cli("ledger", "check", "acme", code=1).stdout
    assert "not on disk" in done
    (tmp_path / "taken").rename(original)
    platform.cli("ledger", "check")
    platform.cli("quarantine", "list", "nobody", code=3)
    platform.cli("ledger", "check", "nobody", code=3)


def test_export_over_the_network_is_byte_exact(platform, tmp_path):
    """Where the data directory is out of reach: the header line comes along, and bytes that are no UTF-8 as they were."""
    small_tenant.add(platform, tmp_path)
    record = b"x,caf\xe9 5"
    [id] = small_tenant.upload(platform, ("a.csv", b"id,n\na,1\n" + record + b"\n"))
    small_tenant.run_now(platform)
    platform.wait_for_file(id, "delivered")
    elsewhere = {"MYSIMBDP_DATA": str(tmp_path / "elsewhere"), "MYSIMBDP_TOKEN": platform.admin_token}
    target = tmp_path / "out.csv"
    platform.cli("quarantine", "export", "acme", "--out", target, env=elsewhere)
    assert target.read_bytes() == b"id,n\n" + record + b"\n"


def test_source_is_the_uploaded_files_line(platform, tmp_path):
    """The program dropped a line with an empty cell, so the gate's line is one less than the upload's; a text that
    occurs twice in the upload has no line rather than a guessed one."""
    drop = r"""cd "$SOURCE_PATH/$CLIENT_ID" && sed '/^gone/d' in/a.csv > out/a.csv"""
    small_tenant.add(platform, tmp_path, script=drop)
    upload = b"id,n\r\na,1\r\ngone,\r\nb,x\r\n\"c\nd\",y\r\ne,z\r\ne,z\r\nf,w"
    [id] = small_tenant.upload(platform, ("a.csv", upload))
    small_tenant.run_now(platform)
    platform.wait_for_file(id, "delivered")
    records = platform.quarantine("acme")
    assert [(r["line"], r["source"]) for r in records] == [
        (3, {"file": id, "line": 4}), (4, {"file": id, "line": 5}), (6, None), (7, None), (8, {"file": id, "line": 9})]
    shown = platform.cli("quarantine", "show", "acme", records[0]["id"]).stdout
    assert f"uploaded as line 4 of {id}" in shown
    shown = json.loads(platform.cli("quarantine", "show", "acme", records[0]["id"], "--json").stdout)
    assert shown["source"] == {"file": id, "line": 4}
