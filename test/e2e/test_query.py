"""`mysimbdp query`: what was delivered, as a table, JSON and CSV, and nothing else."""

import csv
import io
import json
import sqlite3

import pytest

from conftest import run

DOCUMENT = {
    "name": "readings", "file_type": "csv", "key_space": "lab", "csv.first.row.as.header": "true",
    "schema": {"type": "record", "name": "readings", "fields": [
        {"name": "id", "type": "string"},
        {"name": "n", "type": "long"},
        {"name": "ok", "type": "boolean"},
        {"name": "x", "type": ["null", "double"]},
        {"name": "f", "type": ["null", "float"]},
        {"name": "day", "type": "string", "logicalType": "date"},
        {"name": "note", "type": ["null", "string"]},
    ]},
    "primary_key": ["id"],
}
ROWS = ('id,n,ok,x,f,day,note\n'
        'a,9223372036854775807,true,0.1,0.1,2019-08-31,"say ""hi"", twice"\n'
        'b,-1,false,,,2020-02-29,\n'
        'c,0,true,1e300,2.5,2019-01-01,""\n'
        'd,5,false,-2,0,2019-01-02,"two\nlines"\n')


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A directory with one delivered file."""
    d = tmp_path_factory.mktemp("lab")
    (d / "data-file.json").write_text(json.dumps(DOCUMENT))
    (d / "readings.csv").write_text(ROWS)
    run("ingest", "--config", d / "data-file.json", "--to", f"sqlite:{d / 'out'}", d / "readings.csv")
    return d / "out"


def test_json_has_types(lab):
    got = json.loads(run("query", "--db", lab, "--json", "SELECT * FROM readings ORDER BY id").stdout)
    plain = [{k: v for k, v in row.items() if not k.startswith("_mysimbdp_")} for row in got]
    assert plain == [
        {"id": "a", "n": 9223372036854775807, "ok": True, "x": 0.1, "f": 0.1, "day": "2019-08-31",
         "note": 'say "hi", twice'},
        {"id": "b", "n": -1, "ok": False, "x": None, "f": None, "day": "2020-02-29", "note": None},
        {"id": "c", "n": 0, "ok": True, "x": 1e300, "f": 2.5, "day": "2019-01-01", "note": ""},
        {"id": "d", "n": 5, "ok": False, "x": -2.0, "f": 0.0, "day": "2019-01-02", "note": "two\nlines"},
    ]
    assert [row["_mysimbdp_row"] for row in got] == [1, 2, 3, 4]
    assert json.loads(run("query", "--db", lab, "--json", "SELECT * FROM readings WHERE n=77").stdout) == []
    twice = json.loads(run("query", "--db", lab, "--json", "SELECT 1 AS a, 2 AS a, x'00ff' AS b").stdout)
    assert twice == [{"a": 1, "a_2": 2, "b": "AP8="}]


def test_csv_is_rfc_4180(lab):
    out = run("query", "--db", lab / "lab.db", "--csv", "SELECT id,n,ok,x,day,note FROM readings ORDER BY id").stdout
    assert out.startswith("id,n,ok,x,day,note\r\n")
    rows = list(csv.reader(io.StringIO(out, newline="")))
    assert rows[1] == ["a", "9223372036854775807", "true", "0.1", "2019-08-31", 'say "hi", twice']
    assert rows[4][5] == "two\nlines"
    assert ",2020-02-29,\r\n" in out            # null
    assert ',2019-01-01,""\r\n' in out          # the empty string


def test_csv_comes_in_again_alike(lab, tmp_path):
    """What a query writes as CSV is what ingest reads: nulls, empty strings and all."""
    sql = "SELECT id,n,ok,x,f,day,note FROM readings ORDER BY id"
    (tmp_path / "data-file.json").write_text(json.dumps(DOCUMENT))
    (tmp_path / "again.csv").write_bytes(run("query", "--db", lab, "--csv", sql).stdout.encode())
    run("ingest", "--config", tmp_path / "data-file.json", "--to", f"sqlite:{tmp_path / 'out'}", tmp_path / "again.csv")
    assert run("query", "--db", tmp_path / "out", "--json", sql).stdout == run("query", "--db", lab, "--json", sql).stdout


def test_table_for_people(lab):
    done = run("query", "--db", lab, "SELECT id, note FROM readings ORDER BY id")
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["id", "note"]
    assert "null" in lines[2]
    assert "4 rows" in done.stderr
    hostile = run("query", "--db", lab, "SELECT char(27)||'[31m' AS red").stdout
    assert "\x1b" not in hostile
    wide = ", ".join(f"{i} AS c{i}" for i in range(40))
    assert "c39 = 39" in run("query", "--db", lab, f"SELECT {wide}").stdout


@pytest.mark.parametrize("sql", ["DELETE FROM readings", "DROP TABLE readings", "PRAGMA journal_mode=DELETE",
                                 "ATTACH '/tmp/mysimbdp-x.db' AS x", "SELECT 1; SELECT 2", "VACUUM", ""])
def test_only_reading(lab, sql):
    done = run("query", "--db", lab, sql, code=None)
    assert done.returncode not in (0, -11)
    assert done.stdout == "" and done.stderr.startswith("mysimbdp: ")
    assert json.loads(run("query", "--db", lab, "--json", "SELECT count(*) AS n FROM readings").stdout) == [{"n": 4}]


def test_errors_show_the_place(lab):
    error = run("query", "--db", lab, "SELECT id FRM readings", code=64).stderr
    assert "SELECT id FRM readings" in error and "^" in error
    assert "lab.readings" in run("query", "--db", lab, "SELECT 1 FROM reading", code=64).stderr
    run("query", "--db", lab / "nowhere", "SELECT 1", code=3)
    run("query", "--db", lab, code=64)
    run("query", "nobody", "SELECT 1", "--data", lab, code=3)
    run("query", "../lab", "SELECT 1", "--data", lab, code=64)


def test_a_tenants_own_data(lab, tmp_path):
    (tmp_path / "coredms").mkdir()
    (tmp_path / "coredms" / "client_x").symlink_to(lab)
    got = run("query", "client_x", "SELECT count(*) AS n FROM lab.readings", "--json", "--data", tmp_path).stdout
    assert json.loads(got) == [{"n": 4}]


def test_timeout(lab):
    endless = "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM x) SELECT count(*) FROM x"
    assert "longer than allowed" in run("query", "--db", lab, "--timeout", "0.2", endless, code=3).stderr


def test_while_somebody_writes(lab):
    """An open transaction of another connection neither blocks the query nor shows in it."""
    writer = sqlite3.connect(lab / "lab.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("DELETE FROM readings")
    assert json.loads(run("query", "--db", lab, "--json", "SELECT count(*) AS n FROM readings").stdout) == [{"n": 4}]
    writer.execute("ROLLBACK")
    writer.close()
