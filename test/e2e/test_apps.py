"""The sample clientbatchingestapps: C, Python with pandas, shell. One contract, three programs, one judge.

The judge is a plain state machine over characters, written here and by nobody else: which records have an unquoted empty
cell. What a program keeps is compared with it byte for byte (pandas: cell for cell, for it writes its own quotes).
"""

import csv
import io
import os
import random
import resource
import shutil
import subprocess
import sys

import pytest

from conftest import BUILD, EXAMPLES, ROOT, generate

APPS = {
    "c": [BUILD / "apps/clientbatchingestapp"],
    "python": [sys.executable, ROOT / "apps/clientbatchingestapp.py"],
    "shell": ["sh", ROOT / "apps/clientbatchingestapp.sh"],
}
EXACT = ("c", "shell")


def judge(data, separator=","):
    """(kept bytes, records, dropped) of CSV text: the header always, blank lines never, records with a null never."""
    kept, records, dropped, at, header = [], 0, 0, 0, True
    while at < len(data):
        start, cell, quoted, null = at, at, False, False
        while at < len(data):
            c = data[at]
            if quoted:
                if c == '"' and data[at + 1:at + 2] == '"':
                    at += 1
                elif c == '"':
                    quoted = False
            elif c == '"' and at == cell:
                quoted = True
            elif c == separator:
                null |= at == cell
                cell = at + 1
            elif c == "\n":
                break
            at += 1
        end = at - 1 if data[at - 1:at] == "\r" and not quoted else at
        null |= end == cell
        at += 1
        if end == start:
            continue
        if not header:
            records += 1
            dropped += null
        if header or not null:
            kept.append(data[start:at])
        header = False
    return "".join(kept), records, dropped


@pytest.fixture
def workspace(tmp_path):
    for name in ("in", "out"):
        (tmp_path / "client" / name).mkdir(parents=True)
    return tmp_path / "client"


def start(app, workspace, code=0, **env):
    done = subprocess.run(APPS[app], env={"PATH": os.environ["PATH"], "CLIENT_ID": workspace.name,
                                          "SOURCE_PATH": str(workspace.parent)} | env, capture_output=True, timeout=60)
    assert done.returncode == code, done.stderr.decode()
    return done.stderr.decode()


def same_cells(a, b):
    return list(csv.reader(io.StringIO(a, newline=""))) == list(csv.reader(io.StringIO(b, newline="")))


def check(app, workspace, data, **env):
    (workspace / "in/data.csv").write_bytes(data.encode())
    said = start(app, workspace, **env)
    out = (workspace / "out/data.csv").read_bytes().decode()
    kept, records, dropped = judge(data, env.get("CSV_SEPARATOR", ","))
    if app in EXACT:
        assert out == kept
    else:
        assert same_cells(out, kept)
    assert f"{records} records, {dropped} dropped" in said
    return out


CASES = {
    "nothing null": "a,b\n1,2\n3,4\n",
    "first, middle, last": "a,b,c\n,2,3\n1,,3\n1,2,\n1,2,3\n",
    "no newline at the end": "a,b\n1,2\n3,",
    "CRLF": "a,b\r\n1,2\r\n3,\r\n,4\r\n5,6\r\n",
    "blank lines": "a,b\n\n1,2\n\n\n3,\n4,5\n\n",
    "separator in quotes": 'a,b\n"1,,2",3\n",",4\n"5,",\n',
    "newline in quotes": 'a,b\n"1\n\n,,\n2",3\n"4\n5",\n6,"7\n"\n',
    "doubled quotes": 'a,b\n"1""",2\n"""",3\n""",",4\n"""",\n',
    "header with an empty cell": "a,,c\n1,2,3\n1,,3\n",
    "header only": "a,b\n",
    "one column": "a\n1\n2\n",
    "words that pandas likes": "a,b\nNA,1\nnull,2\nNaN,3\n,4\n",
    "spaces are text": "a,b\n ,1\n1, \n",
    "not ASCII": "a,b\nsản phẩm,😀\n—,\n",
    "byte order mark": "\ufeffa,b\n1,2\n3,\n",
}


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("case", CASES)
def test_case(app, case, workspace):
    data = CASES[case]
    if case == "byte order mark" and app == "c":
        (workspace / "in/data.csv").write_bytes(data.encode())
        start(app, workspace)
        assert (workspace / "out/data.csv").read_bytes() == "\ufeffa,b\n1,2\n".encode()
        return
    if app == "python":
        data = data.replace("\ufeff", "")
    check(app, workspace, data)


@pytest.mark.parametrize("app", APPS)
def test_sample_files_of_both_tenants(app, workspace):
    for tenant in ("client_a", "client_b"):
        for source in EXAMPLES.glob(f"{tenant}/*.csv"):
            shutil.copy(source, workspace / "in")
    said = start(app, workspace)
    for source in (workspace / "in").iterdir():
        kept, records, dropped = judge(source.read_bytes().decode())
        assert dropped == 1
        out = (workspace / "out" / source.name).read_bytes().decode()
        assert out == kept if app in EXACT else same_cells(out, kept)
        assert f"{source.name}: {records} records, 1 dropped" in said
    assert sorted(os.listdir(workspace / "out")) == sorted(os.listdir(workspace / "in"))


@pytest.mark.parametrize("app", EXACT)
def test_quoted_empty_is_no_null(app, workspace):
    assert check(app, workspace, 'a,b\n"",1\n1,""\n,2\n') == 'a,b\n"",1\n1,""\n'


def test_pandas_takes_quoted_empty_for_null(workspace):
    """The one stated difference; should pandas ever learn it, the text of the app must change."""
    (workspace / "in/data.csv").write_text('a,b\n"",1\n2,3\n')
    start("python", workspace)
    assert (workspace / "out/data.csv").read_text() == "a,b\n2,3\n"


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("tenant", ["client_a", "client_b"])
def test_generated(app, tenant, workspace):
    data = generate(tenant, rows=20000, nulls=50, seed=7).decode()
    check(app, workspace, data)


def random_csv(rng, eol, columns):
    def cell():
        kind = rng.random()
        if kind < 0.1:
            return ""
        text = "".join(rng.choice(["a", "1", " ", "é", ".", "-"]) for _ in range(rng.randint(1, 8)))
        if kind < 0.5:
            return text
        inner = "".join(rng.choice(["x", ",", '""', "\n", "\r\n", ",,", "é"]) for _ in range(rng.randint(1, 6)))
        return f'"{text}{inner}"'
    return "".join(",".join(cell() or ("" if columns > 1 else "x") for _ in range(columns)) + eol
                   for _ in range(rng.randint(1, 60)))


@pytest.mark.parametrize("seed", range(40))
def test_random_files_c_and_shell(seed, workspace):
    rng = random.Random(seed)
    columns = rng.randint(1, 5)
    data = ",".join(f"c{i}" for i in range(columns)) + "\n" + random_csv(rng, rng.choice(["\n", "\r\n"]), columns)
    for app in EXACT:
        check(app, workspace, data)


def test_records_over_every_block_border(workspace):
    """Cells and quotes fall on each side of the C app's block borders (256 KiB reads, a 4 MiB block)."""
    rng = random.Random(5)
    rows = ["a,b\n"]
    for i in range(3000):
        size = rng.choice([1, 10, 2000, 6000])
        inner = "".join(rng.choice(['""', "\n", ",", "x" * 50]) for _ in range(size // 20))
        rows.append(f'{i},"{inner}"\n' if i % 7 else f',"{inner}"\n')
    check("c", workspace, "".join(rows))


def test_c_files_with_cr_only(workspace):
    (workspace / "in/mac.csv").write_bytes(b'a,b\r1,2\r3,\r"4\r",5\r\r,6\r7,8')
    start("c", workspace)
    assert (workspace / "out/mac.csv").read_bytes() == b'a,b\r1,2\r"4\r",5\r7,8'


def test_c_no_header(workspace):
    (workspace / "in/x.csv").write_bytes(b"1,\n2,3\n")
    start("c", workspace, CSV_HEADER="false")
    assert (workspace / "out/x.csv").read_bytes() == b"2,3\n"


def test_c_separator(workspace):
    check("c", workspace, "a;b\n1;2\n3;\n,;4\n", CSV_SEPARATOR=";")


def test_c_unclosed_quote_costs_one_line(workspace):
    """As at the gate: the line goes on as it is, and the next ones are records again."""
    (workspace / "in/x.csv").write_bytes(b'a,b\n1,"open\n2,\n3,4\n')
    start("c", workspace)
    assert (workspace / "out/x.csv").read_bytes() == b'a,b\n1,"open\n3,4\n'


def test_c_record_over_the_block(workspace):
    """Five MiB in one line: passed on as it is, memory stays flat, the next record is judged again."""
    big = b'1,"' + b"x" * (5 << 20) + b'"\n'
    (workspace / "in/x.csv").write_bytes(b"a,b\n" + big + b"2,\n3,4\n")
    start("c", workspace)
    assert (workspace / "out/x.csv").read_bytes() == b"a,b\n" + big + b"3,4\n"


@pytest.mark.parametrize("magic", [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xff\xfe", b"\xfe\xff"])
def test_c_compressed_and_utf16_pass_as_they_are(magic, workspace):
    data = magic + bytes(range(256)) * 5000
    (workspace / "in/x.csv.gz").write_bytes(data)
    said = start("c", workspace)
    assert (workspace / "out/x.csv.gz").read_bytes() == data
    assert "passed on as it is" in said


def test_c_empty_file(workspace):
    (workspace / "in/empty.csv").write_bytes(b"")
    start("c", workspace)
    assert (workspace / "out/empty.csv").read_bytes() == b""


@pytest.mark.parametrize("app", APPS)
def test_incomplete_names_are_left_alone(app, workspace):
    for name in (".hidden.csv", "a.csv.tmp", "b.csv.part"):
        (workspace / "in" / name).write_text("a\n1\n")
    (workspace / "in/directory").mkdir()
    start(app, workspace)
    assert os.listdir(workspace / "out") == []


def test_c_names_of_255_bytes_with_spaces(workspace):
    name = "é" * 120 + " weekly report.csv"[:15]
    assert len(name.encode()) == 255
    (workspace / "in" / name).write_text("a\n1\n")
    start("c", workspace)
    assert os.listdir(workspace / "out") == [name]


def test_c_says_what_is_wrong(workspace, tmp_path):
    def said(code, **env):
        done = subprocess.run(APPS["c"], env=env, capture_output=True, text=True)
        assert done.returncode == code
        return done.stderr
    assert "CLIENT_ID and SOURCE_PATH" in said(64)
    assert "in/ and out/" in said(1, CLIENT_ID="nobody", SOURCE_PATH=str(tmp_path))
    assert "not one plain character" in said(64, CLIENT_ID="x", SOURCE_PATH="/tmp", CSV_SEPARATOR=";;")
    assert "usage" in subprocess.run([*APPS["c"], "--help"], capture_output=True, text=True, check=True).stdout


def test_c_file_size_limit_leaves_nothing(workspace):
    """A write that fails (here: RLIMIT_FSIZE) leaves no half file behind and says so; the other file is written."""
    (workspace / "in/big.csv").write_bytes(generate("client_a", rows=50000))
    (workspace / "in/small.csv").write_text("a\n1\n")

    def limit():
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    done = subprocess.run(APPS["c"], env={"CLIENT_ID": "client", "SOURCE_PATH": str(workspace.parent)},
                          capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 1
    assert "big.csv: write: File too large; nothing of it is in out/" in done.stderr
    assert os.listdir(workspace / "out") == ["small.csv"]


def test_c_memory_is_flat(workspace):
    (workspace / "in/a.csv").write_bytes(generate("client_a", rows=500000))
    done = subprocess.run(["sh", "-c", "ulimit -v 20000; exec \"$0\"", *APPS["c"]], capture_output=True, text=True,
                          env={"CLIENT_ID": "client", "SOURCE_PATH": str(workspace.parent)})
    if "asan" not in BUILD.name:
        assert done.returncode == 0, done.stderr
        assert "500000 records, 0 dropped" in done.stderr
