"""`--to cassandra:` against a real Cassandra (test/engines/), read by DataStax's Python driver.

One node is started for all tests of this file. Without Java or Maven they are skipped, which pytest counts.
"""

import datetime
import decimal
import json
import os
import shutil
import signal
import socket
import subprocess
import uuid

import pytest

from conftest import BIN, EXAMPLES, ROOT, SLOW, generate, records, run, wait_until

ENGINE = ROOT / "test/engines/cassandra"

TYPES = {
    "name": "all", "file_type": "csv", "key_space": "Types", "csv.first.row.as.header": "true",
    "schema": {"type": "record", "name": "All_Types", "fields": [
        {"name": "region", "type": "string"},
        {"name": "Day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "n", "type": "int"},
        {"name": "big", "type": ["null", "long"]},
        {"name": "f", "type": ["null", "float"]},
        {"name": "d", "type": ["null", "double"]},
        {"name": "ok", "type": ["null", "boolean"]},
        {"name": "note", "type": ["null", "string"]},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
        {"name": "micros", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
        {"name": "clock", "type": ["null", {"type": "int", "logicalType": "time-millis"}]},
        {"name": "price", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 4}]},
        {"name": "id", "type": ["null", {"type": "string", "logicalType": "uuid"}]},
        {"name": "kind", "type": ["null", {"type": "enum", "name": "k", "symbols": ["x", "y"]}]},
    ]},
    "primary_key": [["region", "Day"], "n"],
}
TYPES_CSV = (
    "region,Day,n,big,f,d,ok,note,at,micros,clock,price,id,kind\n"
    'north,2019-08-31,1,9223372036854775807,0.5,1e300,true,"say ""hi""",2019-08-31T01:02:03.456Z,'
    "2019-08-31T01:02:03.456789Z,13:14:15.678,-1234567890123456789012345678901234.5678,"
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8,x\n"
    "nörd,1969-12-31,-2147483648,-9223372036854775808,-0.25,-2.5,false,\"\",1960-01-01T00:00:00Z,"
    "1960-01-01T00:00:00Z,00:00:00,0.0001,00000000-0000-0000-0000-000000000000,y\n"
    "south,2020-02-29,7,,,,,,,,,,,\n"
    "south,2020-02-29,8,,,,,,,,,-128.0000,,\n"
    "south,2020-02-29,9,,,,,,,,,128,,\n")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Node:
    """A running Cassandra and the driver's session."""

    def __init__(self, directory):
        self.directory = directory
        self.env = {"CQL_PORT": str(free_port()), "STORAGE_PORT": str(free_port()), "CASSANDRA_HEAP": "384M", "CASSANDRA_SYNC": "batch"}
        self.port = int(self.env["CQL_PORT"])
        self.url = f"cassandra:127.0.0.1:{self.port}"
        self.cluster = None

    def call(self, *arguments):
        return subprocess.run([ENGINE, arguments[0], self.directory, *map(str, arguments[1:])], timeout=600,
                              env={**os.environ, **self.env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              text=True)

    def connect(self):
        from cassandra.cluster import Cluster
        from cassandra.policies import RoundRobinPolicy
        self.cluster = Cluster(["127.0.0.1"], port=self.port, load_balancing_policy=RoundRobinPolicy(),
                               protocol_version=5, connect_timeout=30)
        self.session = self.cluster.connect()
        self.session.default_timeout = 60

    def rows(self, cql, *parameters):
        return [tuple(row) for row in self.session.execute(cql, parameters)]


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("cassandra"))
    started = node.call("start", 1)
    if started.returncode == 77:
        pytest.skip("the real Cassandra needs Java 17 and Maven: " + started.stderr.strip())
    try:
        assert started.returncode == 0, started.stderr
        node.connect()
        yield node
    finally:
        if node.cluster:
            node.cluster.shutdown()
        node.call("stop")
        shutil.rmtree(node.directory, ignore_errors=True)


@pytest.fixture
def place(tmp_path):
    """Documents and files of one test: write(document, csv) -> arguments of ingest."""
    class Place:
        state = tmp_path / "state"

        @staticmethod
        def ingest(node, document, *files, options="", code=0, env=None, more=()):
            (tmp_path / "data-file.json").write_text(json.dumps(document))
            paths = []
            for name, text in files:
                (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
                paths.append(tmp_path / name)
            return run("ingest", "--config", tmp_path / "data-file.json", "--to", node.url + options, "--state",
                       tmp_path / "state", *more, *paths, code=code, env=env, timeout=180)
    return Place


def document(key_space, table, fields, key):
    return {"name": table, "file_type": "csv", "key_space": key_space, "csv.first.row.as.header": "true",
            "schema": {"type": "record", "name": table, "fields": [{"name": n, "type": t} for n, t in fields]},
            "primary_key": key}


def client_a(key_space):
    """client_a's document with the two types that its data needs."""
    text = (EXAMPLES / "client_a/data-file.json").read_text()
    d = json.loads(text)
    d["key_space"] = key_space
    for f in d["schema"]["fields"]:
        if f["name"] in ("IFINDEX", "ONUID"):
            f["type"] = {"IFINDEX": "long", "ONUID": "string"}[f["name"]]
    return d


@pytest.mark.parametrize("options", ["", "?protocol=4", "?compression=lz4"])
def test_every_type(node, place, options):
    space = "types" + "".join(c for c in options if c.isalnum())
    out = place.ingest(node, {**TYPES, "key_space": space}, ("all.csv", TYPES_CSV), options=options,
                       code=None)
    if "built without LZ4" in out.stderr:
        pytest.skip("built without LZ4")
    assert out.returncode == 0, out.stderr
    got = node.rows(f'SELECT region, "day", n, big, f, d, ok, note, at, micros, clock, price, id, kind, '
                    f'"_mysimbdp_row" FROM {space}.all_types')
    by_n = {row[2]: row for row in got}
    assert len(got) == 5
    first = by_n[1]
    assert (first[0], str(first[1]), first[3:6]) == ("north", "2019-08-31", (2**63 - 1, 0.5, 1e300))
    assert first[6] is True and first[7] == 'say "hi"'
    assert first[8] == datetime.datetime(2019, 8, 31, 1, 2, 3, 456000)
    assert first[9] == 1567213323456789
    assert first[10].nanosecond_time == ((13 * 60 + 14) * 60 + 15) * 10**9 + 678 * 10**6
    assert first[11] == decimal.Decimal("-1234567890123456789012345678901234.5678")
    assert first[12] == uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8") and first[13] == "x"
    assert first[14] == 1
    low = by_n[-2**31]
    assert (low[0], str(low[1]), low[3], low[6], low[7]) == ("nörd", "1969-12-31", -2**63, False, "")
    assert low[8] == datetime.datetime(1960, 1, 1) and low[11] == decimal.Decimal("0.0001")
    assert by_n[7][3:14] == (None,) * 11
    assert (by_n[8][11], by_n[9][11]) == (decimal.Decimal("-128.0000"), decimal.Decimal("128.0000"))
    ours = json.loads(run("query", "--db", node.url + options, "--json",
                          f"SELECT * FROM {space}.all_types WHERE region='north' AND day='2019-08-31'").stdout)
    assert {k: v for k, v in ours[0].items() if not k.startswith("_")} == {
        "region": "north", "day": "2019-08-31", "n": 1, "big": 2**63 - 1, "f": 0.5, "d": 1e300, "ok": True,
        "note": 'say "hi"', "at": "2019-08-31T01:02:03.456Z", "micros": 1567213323456789, "clock": "13:14:15.678",
        "price": "-1234567890123456789012345678901234.5678", "id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "kind": "x"}


def test_a_file_arrives_row_by_row_equal(node, place):
    data = generate("client_a", rows=20000)
    place.ingest(node, client_a("way_a"), ("a.csv", data))
    head, *rows = records(data)
    columns = ", ".join(c.lower() for c in head)
    got = node.rows(f'SELECT {columns}, "_mysimbdp_row", writetime(frame), "_mysimbdp_version" FROM way_a.analytics')
    want = {tuple(r[k] for k in (0, 1, 7)): (r, i) for i, r in enumerate(rows, 1)}
    assert len(got) == len(want)
    for row in got:
        r, i = want[(row[0], row[1], row[7])]
        assert [str(v) for v in row[2:9]] == r[2:9] and row[9:11] == (float(r[9]), float(r[10]))
        assert row[11] == i and row[12] == row[13]
    # again is nothing, forced again is every row with newer versions
    out = place.ingest(node, client_a("way_a"), ("a.csv", data))
    assert "already" in out.stdout + out.stderr
    top = node.rows('SELECT max("_mysimbdp_version") FROM way_a.analytics')[0][0]
    place.ingest(node, client_a("way_a"), ("a.csv", data), more=["--again"])
    assert node.rows('SELECT count(*), min("_mysimbdp_version") FROM way_a.analytics')[0][0] == len(want)
    assert node.rows('SELECT min("_mysimbdp_version") FROM way_a.analytics')[0][0] > top


def test_tokens_are_the_drivers(node, place):
    """The server tells the token of each row; the unit test has the same vectors for ours."""
    from cassandra.metadata import murmur3
    got = node.rows("SELECT DISTINCT provincecode, token(provincecode) FROM way_a.analytics")
    assert got and all(token == murmur3(code.encode()) for code, token in got)


def test_later_files_win_and_null_is_null(node, place):
    d = document("wins", "t", [("k", "string"), ("a", ["null", "long"]), ("b", ["null", "string"])], ["k"])
    place.ingest(node, d, ("one.csv", "k,a,b\nx,1,one\ny,1,one\n"))
    place.ingest(node, d, ("two.csv", "k,a,b\nx,,two\n"))
    assert sorted(node.rows("SELECT k, a, b FROM wins.t")) == [("x", None, "two"), ("y", 1, "one")]


def test_append_table(node, place):
    d = document("append", "log", [("n", "long"), ("text", "string")], [])
    rows = "".join(f"{i},line {i}\n" for i in range(10000))
    place.ingest(node, d, ("log.csv", "n,text\n" + rows))
    got = node.rows('SELECT n, text, "_mysimbdp_row" FROM append.log')
    assert sorted(got) == [(i, f"line {i}", i + 1) for i in range(10000)]
    kinds = dict(node.rows("SELECT column_name, kind FROM system_schema.columns WHERE keyspace_name='append' AND "
                           "table_name='log'"))
    assert kinds["_mysimbdp_file"] == "partition_key" and kinds["_mysimbdp_row"] == "clustering"


def test_another_table_is_shown_not_changed(node, place):
    d = document("differs", "t", [("k", "string"), ("a", "long")], ["k"])
    place.ingest(node, d, ("one.csv", "k,a\nx,1\n"))
    wider = document("differs", "t", [("k", "string"), ("a", "long"), ("c", ["null", "string"])], ["k"])
    out = place.ingest(node, wider, ("two.csv", "k,a,c\nx,1,z\n"), code=3)
    assert 'column "c" (text) is missing' in out.stderr
    assert 'ALTER TABLE "differs"."t" ADD "c" text' in out.stderr
    node.session.execute('ALTER TABLE "differs"."t" ADD "c" text')
    place.ingest(node, wider, ("two.csv", "k,a,c\nx,1,z\n"))
    assert node.rows("SELECT k, a, c FROM differs.t") == [("x", 1, "z")]
    other = document("differs", "t", [("k", "string"), ("a", "string"), ("c", ["null", "string"])], ["k"])
    out = place.ingest(node, other, ("three.csv", "k,a,c\nx,1,z\n"), code=3)
    assert 'column "a" is bigint, not text' in out.stderr and "no ALTER TABLE" in out.stderr


@pytest.mark.parametrize("point", ["sink.begin", "sink.write.before@2", "sink.commit.before@2", "sink.commit.after@2",
                                   "ingest.delivered@2", "ingest.done"])
def test_killed_anywhere_nothing_is_lost_or_doubled(node, place, point):
    name, _, n = point.partition("@")
    space = "kill_" + name.replace(".", "_")
    d = document(space, "t", [("k", "long"), ("v", "long")], ["k"])
    data = "k,v\n" + "".join(f"{i},{i * 7}\n" for i in range(6000))
    more = ["--sink-batch", "2000"]
    env = {"MYSIMBDP_FAULT": f"{name}=kill@{n or 1}"}
    assert place.ingest(node, d, ("f.csv", data), code=None, env=env, more=more).returncode == -signal.SIGKILL
    place.ingest(node, d, ("f.csv", data), more=more)
    got = node.rows(f'SELECT k, v, "_mysimbdp_row", writetime(v) FROM {space}.t')
    assert sorted(row[:3] for row in got) == [(i, i * 7, i + 1) for i in range(6000)]
    assert len({row[3] - row[2] for row in got}) == 1  # one range of versions, before and after the kill
    position = node.rows(f'SELECT position, done FROM {space}."_mysimbdp_position"')
    assert position == [(6000, True)]


def test_refused_rows_go_to_the_quarantine(node, place):
    d = document("refused", "t", [("p", "string"), ("k", "string"), ("v", "long")], ["p", "k"])
    data = "p,k,v\n" + "".join(f"p,{i:05},1\n" for i in range(300)) + f"p,{'z' * 70000},2\n" + "q,1,3\n"
    place.ingest(node, d, ("f.csv", data), code=None)
    assert node.rows("SELECT count(*) FROM refused.t") == [(301,)]
    listed = run("quarantine", "list", "--db", place.state, "--json", code=None).stdout
    assert "65535 bytes" in listed


def test_query_pages_and_only_reads(node, place):
    d = document("pages", "t", [("k", "long"), ("v", "string")], ["k"])
    place.ingest(node, d, ("f.csv", "k,v\n" + "".join(f"{i},v{i}\n" for i in range(9001))))
    out = run("query", "--db", node.url, "--csv", "SELECT k, v FROM pages.t").stdout
    assert sorted(out.splitlines()[1:]) == sorted(f"{i},v{i}" for i in range(9001))
    assert out.splitlines()[0] == "k,v"
    refused = run("query", "--db", node.url, "TRUNCATE pages.t", code=3)
    assert "only reads" in refused.stderr
    wrong = run("query", "--db", node.url, "SELECT nothing FROM pages.t", code=None)
    assert wrong.returncode != 0 and "nothing" in wrong.stderr


def test_wrong_addresses_and_options_are_said(node, place):
    d = document("wrong", "t", [("k", "long")], ["k"])
    for options, text in (("?windw=3", "did you mean window?"), ("?window=0", "from 1 to 4096"),
                          ("?consistency=MOST", "LOCAL_QUORUM"), ("?replication=0", "copies"),
                          ("?password=secret", "no secret")):
        out = place.ingest(node, d, ("f.csv", "k\n1\n"), options=options, code=64)
        assert text in out.stderr, options
    out = run("query", "--db", f"cassandra:127.0.0.1:{free_port()}", "SELECT k FROM a.b", code=3)
    assert "Connection refused" in out.stderr


def test_the_server_dies_and_comes_back(node, place):
    """Last, as it ends the node: a file is on its way when the server is killed; the next run finishes it."""
    d = client_a("dies")
    data = generate("client_a", rows=120000)
    (place.state.parent / "a.csv").write_bytes(data)
    (place.state.parent / "d.json").write_text(json.dumps(d))
    ingest = [BIN, "ingest", "--config", place.state.parent / "d.json", "--to", node.url + "?patience=60", "--state",
              place.state, "--sink-batch", "5000", place.state.parent / "a.csv"]
    node.session.execute("CREATE KEYSPACE dies WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
    process = subprocess.Popen(ingest, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def some_arrived():
        try:
            return node.rows('SELECT position FROM dies."_mysimbdp_position"')[0][0] > 0
        except Exception:  # not made yet
            return process.poll() is not None
    wait_until(some_arrived, 60, "the first transaction")
    node.call("kill", 1)
    assert node.call("node", 1).returncode == 0
    out = process.communicate(timeout=180 * SLOW)[0].decode()
    if process.returncode != 0:
        assert "Cassandra" in out or "node" in out, out
        subprocess.run(ingest, check=True, timeout=180 * SLOW, capture_output=True)
    node.cluster.shutdown()
    node.connect()
    keys = {tuple(r[k] for k in (0, 1, 7)) for r in records(data)[1:]}
    got = node.rows('SELECT provincecode, deviceid, onuid, "_mysimbdp_version" - "_mysimbdp_row" FROM dies.analytics')
    assert {row[:3] for row in got} == keys and len({row[3] for row in got}) == 1
