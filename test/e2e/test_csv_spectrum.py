"""The public csv-spectrum cases (npm) through `ingest` and `query`: what arrives in the store is what the case's JSON
says. Skipped where npm or its registry is out of reach."""

import json
import shutil
import subprocess

import pytest

from conftest import run

VERSION = "2.0.0"
CASES = ["comma_in_quotes", "empty", "empty_crlf", "escaped_quotes", "json", "location_coordinates", "newlines",
         "newlines_crlf", "quotes_and_newlines", "simple", "simple_crlf", "utf8"]
# The JSON of this case has another number than its CSV.
TYPO = {"location_coordinates": ("1234567890", "2095257564")}


@pytest.fixture(scope="module")
def spectrum(tmp_path_factory):
    """The package's directory."""
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    d = tmp_path_factory.mktemp("spectrum")
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", f"csv-spectrum@{VERSION}"],
                          cwd=d, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot install csv-spectrum {VERSION}: {done.stderr[-300:]}")
    return d / "node_modules/csv-spectrum"


def expected(spectrum, case):
    """Rows as lists of text, the header line first."""
    objects = json.loads((spectrum / f"json/{case}.json").read_text(encoding="utf-8"))
    objects = objects if isinstance(objects, list) else [objects]
    old, new = TYPO.get(case, (None, None))
    return [list(objects[0])] + [[new if v == old and old else v for v in o.values()] for o in objects]


def test_no_case_is_missing(spectrum):
    assert sorted(p.stem for p in (spectrum / "csvs").iterdir()) == CASES


@pytest.mark.parametrize("simd", ["portable", "auto"])
@pytest.mark.parametrize("case", CASES)
def test_case(spectrum, tmp_path, case, simd):
    want = expected(spectrum, case)
    # Names by position and the header line as a record: csv-spectrum's headers are no column names.
    document = {
        "name": case, "file_type": "csv", "key_space": "spectrum", "csv.first.row.as.header": "false",
        "schema": {"type": "record", "name": "cells", "fields": [
            {"name": f"c{i}", "type": ["null", "string"]} for i in range(len(want[0]))]},
        "primary_key": [],
    }
    (tmp_path / "data-file.json").write_text(json.dumps(document))
    run("ingest", "--config", tmp_path / "data-file.json", "--to", f"sqlite:{tmp_path / 'out'}", "--simd", simd,
        spectrum / f"csvs/{case}.csv")
    columns = ", ".join(f"c{i}" for i in range(len(want[0])))
    rows = json.loads(run("query", "--db", tmp_path / "out", "--json",
                          f"SELECT {columns} FROM cells ORDER BY _mysimbdp_row").stdout)
    got = [["" if v is None else v for v in row.values()] for row in rows]
    assert got == want
