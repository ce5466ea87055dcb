"""`mysimbdp infer`: the document alone on stdout; its types are the narrowest, its key the smallest; `check` with it
accepts every record of the same file (random files, in all the ways in which people write CSV)."""

import csv
import gzip
import io
import itertools
import json
import random

import pytest

from conftest import run

LETTERS = "abcxyz ÄÖéß日本語€😀"


def infer(path, code=0):
    done = run("infer", path, code=code)
    return json.loads(done.stdout) if code == 0 else done


def types(document):
    """name -> type as people say it, with a question mark when it may be null."""
    result = {}
    for field in document["schema"]["fields"]:
        kind, logical = field["type"], field.get("logicalType")
        nullable = isinstance(kind, list)
        if nullable:
            kind = next(t for t in kind if t != "null")
        if isinstance(kind, dict):
            kind, logical = kind["type"], kind.get("logicalType")
        result[field["name"]] = (logical or kind) + ("?" if nullable else "")
    return result


def check(document, path, tmp_path):
    config = tmp_path / "inferred.json"
    config.write_text(json.dumps(document))
    done = run("check", "--json", "--config", config, path, code=None)
    return json.loads(done.stdout), done


def write(tmp_path, text, name="some file.csv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("values, expected", [
    (["1", "-2147483648", "2147483647"], "int"),
    (["1", "2147483648"], "long"),
    (["1", "-9223372036854775808"], "long"),
    (["1", "9223372036854775808"], "string"),
    (["222277164261810113006", "5"], "string"),
    (["1", "1.5"], "double"),
    (["1e5", "-0.25", "3"], "double"),
    (["0.12345678901234567890123"], "string"),
    (["007", "12"], "string"),
    (["+49", "12"], "string"),
    (["true", "FALSE"], "boolean"),
    (["true", "0"], "boolean"),
    (["0", "1"], "int"),
    (["2015-08-31", "2016-02-29"], "date"),
    (["2015-08-31", "2015-02-29"], "string"),
    (["2015-08-31T10:00:00Z", "2015-08-31 10:00:00"], "timestamp-millis"),
    (["2015-08-31T10:00:00.123456Z"], "timestamp-micros"),
    (["2015-08-31", "2015-08-31T10:00:00Z"], "string"),
    (["1", ""], "int?"),
    (["", ""], "string?"),
    (["1", "NA"], "int?"),
    (["1", "-"], "int?"),
    (["1.5", "nan"], "double?"),
    (["2015-08-31", r"\N"], "date?"),
    (["alice", "NULL"], "string?"),
    (["alice", "NA"], "string"),
    (["alice", "-"], "string"),
    (["1", '"NA"'], "string"),
    (["1", '""'], "string"),
    (["x", ""], "string?"),
    (["NaN", "Infinity"], "string"),
    (["1 ", "2"], "string"),
    (["0x10"], "string"),
    (["1,5"], "string"),
])
def test_types(tmp_path, values, expected):
    lines = ["id,v"] + [f"row{i},{v if ',' not in v else chr(34) + v + chr(34)}" for i, v in enumerate(values)]
    path = write(tmp_path, "\n".join(lines) + "\n")
    document = infer(path)
    assert types(document)["v"] == expected
    result, _ = check(document, path, tmp_path)
    assert result["accepted"] == len(values)


def test_document_and_findings(tmp_path):
    path = write(tmp_path, "id;name;score\n1;a;1.5\n2;b;NA\n3;c;2\n", name="My scores 2024.csv")
    done = run("infer", path)
    document = json.loads(done.stdout)
    assert document["name"] == document["key_space"] == document["schema"]["name"] == "My_scores_2024"
    assert document["csv.separator.char"] == ";"
    assert document["csv.null.values"] == ["NA"]
    assert document["csv.first.row.as.header"] is True
    assert document["primary_key"] == ["id"]
    assert "score" in done.stderr and "semicolon" in done.stderr
    assert run("infer", "--quiet", path).stderr == ""


def test_null_word_of_a_number_column_reaches_text_columns(tmp_path):
    path = write(tmp_path, "id,n,s\n1,5,NA\n2,NA,x\n")
    document = infer(path)
    assert types(document) == {"id": "int", "n": "int?", "s": "string?"}
    result, _ = check(document, path, tmp_path)
    assert result["accepted"] == 2


@pytest.mark.parametrize("separator, name", [(",", None), (";", ";"), ("\t", "\t"), ("|", "|")])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_separators(tmp_path, separator, name, newline):
    rows = [["id", "text"]] + [[str(i), f"a, b; c | {i}"] for i in range(20)]
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator=newline).writerows(rows)
    document = infer(write(tmp_path, out.getvalue()))
    assert document.get("csv.separator.char") == name
    assert types(document) == {"id": "int", "text": "string"}


@pytest.mark.parametrize("encoding, charset", [
    ("utf-8", None), ("utf-8-sig", None), ("utf-16", "UTF-16"), ("utf-16-le", "UTF-16LE"), ("utf-16-be", "UTF-16BE"),
    ("latin-1", "ISO-8859-1"), ("cp1252", "windows-1252"),
])
def test_charsets(tmp_path, encoding, charset):
    extra = "“" if encoding == "cp1252" else "é"
    text = "id,name\n" + "".join(f"{i},Zoë {extra} {i}\n" for i in range(50))
    path = write(tmp_path, text, encoding=encoding)
    document = infer(path)
    assert document.get("csv.file.charset") == charset
    assert types(document) == {"id": "int", "name": "string"}
    assert check(document, path, tmp_path)[0]["accepted"] == 50


def test_gzip(tmp_path):
    path = write(tmp_path, gzip.compress(b"id,v\n1,2\n2,3\n"), name="x.csv.gz")
    assert types(infer(path)) == {"id": "int", "v": "int"}


@pytest.mark.parametrize("text, header, names", [
    ("id,name\n1,a\n2,b\n", True, ["id", "name"]),
    ("1,a\n2,b\n", False, ["c1", "c2"]),
    ("name,city\nann,rome\nbob,oslo\n", True, ["name", "city"]),
    ("ann,rome\nbob,oslo\nann,paris\n", False, ["c1", "c2"]),
    ("id,name\n", True, ["id", "name"]),
    (",a,b\n0,1,2\n", True, ["a", "b"]),
    ("id,Review Date,x\n1,2,3\n", True, ["id", "x"]),
    ("id,x,x\n1,2,3\n", True, ["id"]),
    ("id,x,X\n1,2,3\n", True, ["id", "x"]),
    ("a b,c d\n1,2\n", False, ["c1", "c2"]),
])
def test_header(tmp_path, text, header, names):
    path = write(tmp_path, text)
    document = infer(path)
    assert document["csv.first.row.as.header"] is header
    assert list(types(document)) == names
    result, done = check(document, path, tmp_path)
    assert result["rejected"] == 0, done.stderr


def test_other_name_gets_a_pattern(tmp_path):
    assert infer(write(tmp_path, "a\tb\n1\t2\n", name="x.tsv"))["input.file.pattern"] == r".*\.tsv(\.gz|\.zst)?"
    assert "input.file.pattern" not in infer(write(tmp_path, "a,b\n1,2\n", name="x.CSV"))


@pytest.mark.parametrize("name, table", [
    ("1 2.csv", "t_1_2"), ("system_x.csv", "t_system_x"), ("äö.csv", "t"), ("a" * 90 + ".csv", "a" * 44),
])
def test_table_names(tmp_path, name, table):
    path = write(tmp_path, "a,b\n1,2\n", name=name)
    document = infer(path)
    assert document["schema"]["name"] == document["key_space"] == table
    assert check(document, path, tmp_path)[0]["accepted"] == 1


@pytest.mark.parametrize("rows, key", [
    ([(1, 1, 1), (2, 1, 1), (3, 1, 1)], ["a"]),
    ([(1, 1, 1), (1, 2, 1), (2, 1, 2), (2, 2, 2)], ["a", "b"]),
    ([(1, 1, 7), (1, 2, 8), (2, 1, 9), (2, 2, 1)], ["c"]),
    ([(1, 1, 1), (1, 1, 1)], []),
    ([("", 1, 1), (2, 1, 1)], []),
])
def test_key(tmp_path, rows, key):
    path = write(tmp_path, "a,b,c\n" + "".join(",".join(map(str, r)) + "\n" for r in rows))
    assert infer(path)["primary_key"] == key


def test_no_key_of_five_columns(tmp_path):
    rows = list(itertools.product("01", repeat=5))
    text = "a,b,c,d,e\n" + "".join(",".join(r) + "\n" for r in rows)
    assert infer(write(tmp_path, text))["primary_key"] == []
    text = "a,b,c,d\n" + "".join(",".join(r) + "\n" for r in itertools.product("01", repeat=4))
    assert infer(write(tmp_path, text))["primary_key"] == ["a", "b", "c", "d"]


def test_key_beyond_the_sample(tmp_path):
    """Duplicates that lie far apart: the first records do not show them."""
    rows = [f"{i % 30000},{i // 30000},{i % 7}" for i in range(60000)]
    path = write(tmp_path, "a,b,c\n" + "\n".join(rows) + "\n")
    assert infer(path)["primary_key"] == ["a", "b"]


def test_refused(tmp_path):
    assert run("infer", write(tmp_path, b""), code=3).stdout == ""
    assert run("infer", tmp_path / "none.csv", code=3).stdout == ""
    assert "standard input" in run("infer", "-", code=64).stderr
    run("infer", code=64)


def test_ragged_rows_are_told(tmp_path):
    path = write(tmp_path, "id,v\n" + "".join(f"{i},{i}\n" for i in range(50)) + "1,2,3\n")
    done = run("infer", path)
    assert "1 record is rejected under any schema" in done.stderr
    assert check(json.loads(done.stdout), path, tmp_path)[0]["rejected"] == 1


def test_the_first_rows_are_no_good_sample(tmp_path):
    """Only far behind it shows that the quote is no quote."""
    lines = ["id,t"] + [f"{i},plain" for i in range(3000)] + [f'{i},"a" and b' for i in range(3000, 3050)]
    path = write(tmp_path, "\n".join(lines) + "\n")
    document = infer(path)
    assert document["csv.quote.char"] == ""
    assert check(document, path, tmp_path)[0]["accepted"] == 3050


# ---- random files

def random_text(rng):
    return "".join(rng.choice(LETTERS) for _ in range(rng.randrange(12)))


CELLS = {
    "int": lambda r: str(r.randrange(-100, 100)),
    "long": lambda r: str(r.randrange(-2**63, 2**63)),
    "huge": lambda r: str(r.randrange(10**25)),
    "double": lambda r: repr(r.uniform(-1e6, 1e6)),
    "money": lambda r: f"{r.randrange(100000) / 100:.2f}",
    "boolean": lambda r: r.choice(["true", "false", "True", "FALSE", "0", "1"]),
    "date": lambda r: f"{r.randrange(1900, 2100)}-{r.randrange(1, 13):02d}-{r.randrange(1, 29):02d}",
    "time": lambda r: f"2024-01-{r.randrange(1, 29):02d}T{r.randrange(24):02d}:00:{r.randrange(60):02d}Z",
    "text": random_text,
    "code": lambda r: f"{r.randrange(1000):04d}",
    "wild": lambda r: r.choice(['a"b', "a,b", "a;b", "x\ny", "a|b", "t\tt", " lead", "trail ", "'q'", "", "\\", "\\n",
                                "it's", '""', "=1+1", "#", "NULL", "NA", "-", "?", "nan", "1e999", "--", "."]),
    "few": lambda r: r.choice("AB"),
}
NULLS = ["", "", "NA", "N/A", "NULL", "null", r"\N", "nan", "NaN", "None", "-", "--", "?"]


def random_file(rng):
    """Rows of cells, and how they are written."""
    n = rng.randrange(1, 7)
    kinds = [rng.choice(list(CELLS)) for _ in range(n)]
    nulls = [rng.choice(NULLS) if rng.random() < 0.4 else None for _ in range(n)]
    rows = []
    for _ in range(rng.choice([0, 1, 2, 3, 10, 60])):
        row = []
        for kind, null in zip(kinds, nulls):
            row.append(null if null is not None and rng.random() < 0.2 else CELLS[kind](rng))
        rows.append(row)
    header = [f"col_{i}" for i in range(n)] if rng.random() < 0.8 else None
    return header, rows, {
        "delimiter": rng.choice(",,,;\t|"),
        "quoting": rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        "lineterminator": rng.choice(["\n", "\n", "\r\n"]),
    }


@pytest.mark.parametrize("seed", range(120))
def test_check_accepts_every_record(tmp_path, seed):
    rng = random.Random(seed)
    header, rows, how = random_file(rng)
    out = io.StringIO()
    writer = csv.writer(out, **how)
    if header:
        writer.writerow(header)
    writer.writerows(rows)
    encoding = rng.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16"])
    path = write(tmp_path, out.getvalue(), encoding=encoding)
    if not header and not rows:
        infer(path, code=3)
        return
    document = infer(path)
    result, done = check(document, path, tmp_path)
    assert done.returncode == 0 and result["rejected"] == 0, (document, out.getvalue(), result)


@pytest.mark.parametrize("seed", range(40))
def test_key_is_the_smallest(tmp_path, seed):
    """Against brute force over the texts."""
    rng = random.Random(seed)
    n = rng.randrange(2, 7)
    domain = [rng.choice([1, 2, 3, 4, 40]) for _ in range(n)]
    rows = {tuple(f"x{rng.randrange(d)}" for d in domain) for _ in range(rng.randrange(1, 60))}
    if rng.random() < 0.2:
        rows = list(rows) * 2
    rows = list(rows)
    names = [f"k{i}" for i in range(n)]
    path = write(tmp_path, ",".join(names) + "\n" + "".join(",".join(r) + "\n" for r in rows))
    expected = 0
    for size in range(1, 5):
        if any(len({tuple(r[c] for c in s) for r in rows}) == len(rows)
               for s in itertools.combinations(range(n), size)):
            expected = size
            break
    key = infer(path)["primary_key"]
    assert len(key) == expected, (key, rows)
    columns = [names.index(k) for k in key]
    if key:
        assert len({tuple(r[c] for c in columns) for r in rows}) == len(rows)
