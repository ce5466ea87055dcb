"""The way of a file: upload, run, gate, quarantine, warehouse; looked at with readers that are not ours.

What must be in the warehouse is computed here from the uploaded bytes with Python's csv module and plain rules.
"""

import csv
import datetime
import hashlib
import io
import json
import re
import shutil
import stat

import pytest

from conftest import BIN, BUILD, EXAMPLES, generate, select, wait_until

ONU = EXAMPLES / "client_a/ONUData-sample_min_1 23.08.58.csv"
REVIEWS = EXAMPLES / "client_b/reviews-sample.csv"


def raw_records(path):
    text = path.read_bytes().decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def is_int(text):
    return re.fullmatch(r"[+-]?\d+", text) is not None and -2**31 <= int(text) < 2**31


def is_date(text):
    try:
        datetime.date.fromisoformat(text)
        return True
    except ValueError:
        return False


def expected_reviews(rows):
    """(accepted, rejected) after the sample app dropped records with an empty cell."""
    kept = [r for r in rows if all(v != "" for v in r.values())]
    good = [r for r in kept if is_date(r["review_date"])
            and all(is_int(r[c]) for c in ("star_rating", "helpful_votes", "total_votes"))]
    return good, [r for r in kept if r not in good]


def deliver(platform, tenant, *files):
    """Upload, run now, wait until delivered; the files' ids."""
    answer = platform.upload(tenant, *files)
    assert answer.status == 201, answer
    ids = [f["id"] for f in answer.json["files"]]
    platform.cli("run", tenant)
    for id in ids:
        platform.wait_for_file(id, "delivered")
    return ids


def ledger_balances(platform, tenant):
    platform.cli("ledger", "check", tenant)


def test_reviews_arrive(tenants):
    [id] = deliver(tenants, "client_b", (REVIEWS.name, REVIEWS.read_bytes()))
    good, bad = expected_reviews(raw_records(REVIEWS))
    columns = list(good[0])
    rows = select(tenants.coredms("client_b", "product_insights"),
                  f"SELECT {', '.join(columns)} FROM product_reviews ORDER BY review_id")
    want = [tuple(int(r[c]) if c in ("star_rating", "helpful_votes", "total_votes") else r[c] for c in columns)
            for r in sorted(good, key=lambda r: r["review_id"])]
    assert rows == want

    entries = tenants.quarantine("client_b")
    assert len(entries) == len(bad) == 2
    by_field = {e["field"]: e for e in entries}
    assert set(by_field) == {"star_rating", "review_date"}
    text = REVIEWS.read_bytes().decode()
    for entry in entries:
        assert entry["rule"] == "type"
        assert entry["file"] == REVIEWS.name
        assert entry["raw"].rstrip("\r\n") in text
        assert entry["reason"]
    five = by_field["star_rating"]
    out = text.replace(next(l for l in text.splitlines(True) if "No headline" in l), "")
    line = out.split("\n")[five["line"] - 1]
    assert line[five["column"] - 1:].startswith("five"), "line and column are those of out/NAME"
    ledger_balances(tenants, "client_b")


def test_lineage_columns(tenants):
    deliver(tenants, "client_b", (REVIEWS.name, REVIEWS.read_bytes()))
    rows = select(tenants.coredms("client_b", "product_insights"),
                  "SELECT _mysimbdp_file, _mysimbdp_row, _mysimbdp_version FROM product_reviews ORDER BY 2")
    assert len({r[0] for r in rows}) == 1
    assert [r[1] for r in rows] == [1, 2, 3]
    base = rows[0][2] - rows[0][1]
    assert all(version == base + row for _, row, version in rows)
    now = datetime.datetime.now().timestamp() * 1e6
    assert now - 600e6 < base < now


def test_time_line_names_every_stage_in_order(tenants):
    [id] = deliver(tenants, "client_b", (REVIEWS.name, REVIEWS.read_bytes()))
    events = tenants.get(f"/v1/files/{id}").json["events"]
    times = [e["at"] for e in events]
    assert times == sorted(times)
    said = " ".join(f"{e.get('what', '')} {e.get('text', '')}" for e in events)
    order = [said.find(word) for word in ("received", "staged", "assigned", "delivered")]
    assert -1 not in order and order == sorted(order), said


def test_original_is_kept_read_only_and_unchanged(tenants):
    data = REVIEWS.read_bytes()
    deliver(tenants, "client_b", (REVIEWS.name, data))
    originals = [p for p in (tenants.data / "staging/client_b/.files").iterdir() if not p.name.startswith(".")]
    assert [p.read_bytes() for p in originals] == [data]
    assert stat.S_IMODE(originals[0].stat().st_mode) == 0o440
    assert stat.S_IMODE(tenants.data.stat().st_mode) == 0o700


def test_name_with_spaces_and_a_day_of_client_a(tenants):
    """Documents promise int, data does not fit: kept; proposed, changed, replayed: it arrives, with its own version."""
    deliver(tenants, "client_a", (ONU.name, ONU.read_bytes()))
    db = tenants.coredms("client_a", "mysimbdp_coredms")
    before = select(db, "SELECT ONUID, _mysimbdp_row, _mysimbdp_version FROM analytics ORDER BY ONUID")
    assert [r[0] for r in before] == [10113007, 10204001]

    proposal = json.loads(tenants.cli("tenant", "propose", "client_a").stdout)
    types = {f["name"]: f["type"] for f in proposal["schema"]["fields"]}
    assert types["IFINDEX"] == "long"
    assert types["ONUID"] == "string", "222277164261810113006 fits no long"
    assert types["FRAME"] == "int", "nothing else is changed"
    changed = tenants.data.parent / "changed.json"
    changed.write_text(json.dumps(proposal))

    tenants.cli("tenant", "preview", "client_a", "--data-file", changed)
    assert select(db, "SELECT count(*) FROM analytics") == [(2,)], "a preview writes nothing"
    tenants.cli("tenant", "change", "client_a", "--data-file", changed)
    tenants.cli("quarantine", "replay", "client_a")
    after = select(db, "SELECT ONUID, _mysimbdp_row, _mysimbdp_version FROM analytics ORDER BY _mysimbdp_row")
    assert [r[0] for r in after] == ["222277164261810113006", "10113007", "10204001"]
    base = before[0][2] - before[0][1]
    assert all(version == base + row for _, row, version in after), "replay keeps the original versions"
    tenants.cli("quarantine", "replay", "client_a")
    assert select(db, "SELECT count(*) FROM analytics") == [(3,)], "once"
    status = tenants.get("/tenant/client_a").json["files"][0]["status"]
    assert status == "delivered: all 4 records are in coredms", "the file says what is true after the replay"
    ledger_balances(tenants, "client_a")


def test_the_later_record_of_a_key_wins(tenants):
    """The sample has two records of ONUID 10204001 a minute apart."""
    deliver(tenants, "client_a", (ONU.name, ONU.read_bytes()))
    rows = select(tenants.coredms("client_a", "mysimbdp_coredms"),
                  "SELECT TIME, SPEEDIN FROM analytics WHERE ONUID = 10204001")
    assert rows == [("01/08/2019 11:39:34", 91377.0)]


def test_a_repeat_does_nothing(tenants):
    first = deliver(tenants, "client_b", (REVIEWS.name, REVIEWS.read_bytes()))
    again = tenants.upload("client_b", (REVIEWS.name, REVIEWS.read_bytes()))
    assert again.status == 200
    assert [f["id"] for f in again.json["files"]] == first
    assert len(tenants.get("/tenant/client_b").json["files"]) == 1


def correction(data, rating):
    return data.replace(b'GB",PC,5,', b'GB",PC,%d,' % rating)


def test_correction_and_correction_taken_back(tenants):
    data = REVIEWS.read_bytes()
    rating = "SELECT star_rating FROM product_reviews WHERE review_id = 'R1QXC7AHHJBQ3O'"
    db = tenants.coredms("client_b", "product_insights")
    ids = []
    for want, body in ((5, data), (1, correction(data, 1)), (5, data)):
        ids += deliver(tenants, "client_b", (REVIEWS.name, body))
        assert select(db, rating) == [(want,)]
    assert len(set(ids)) == 3, "A, B, A are three files"
    ledger_balances(tenants, "client_b")


def test_wrong_type_is_refused_and_listed(tenants):
    answer = tenants.upload("client_b", ("notes.txt", b"hello"))
    assert answer.status == 415
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    [file] = tenants.get("/tenant/client_b").json["files"]
    assert file["name"] == "notes.txt" and file["state"] == "refused" and file["status"]


def test_refused_by_a_budget_delivers_nothing(platform, documents):
    directory = documents("client_b", agreement={"quality": {"max_rejected": "1%"}})
    platform.cli("tenant", "add", directory)
    answer = platform.upload("client_b", (REVIEWS.name, REVIEWS.read_bytes()))
    [id] = [f["id"] for f in answer.json["files"]]
    platform.cli("run", "client_b")
    file = platform.wait_for_file(id, "refused", "failed")
    assert file["state"] == "refused"
    assert "1%" in json.dumps(file)
    db = platform.coredms("client_b", "product_insights")
    if db.exists():
        tables = [name for name, in select(db, "SELECT name FROM sqlite_master WHERE name = 'product_reviews'")]
        assert not tables or select(db, "SELECT count(*) FROM product_reviews") == [(0,)]
    ledger_balances(platform, "client_b")


def test_many_files_in_one_run(tenants):
    files = [(f"part {n}.csv", generate("client_b", rows=50, keys=n, seed=n)) for n in range(20)]
    deliver(tenants, "client_b", *files)
    [(rows, distinct)] = select(tenants.coredms("client_b", "product_insights"),
                                "SELECT count(*), count(DISTINCT _mysimbdp_file) FROM product_reviews")
    assert (rows, distinct) == (1000, 20)
    runs = tenants.get("/v1/runs").json["runs"]
    assert [r["files_in"] for r in runs if r["tenant"] == "client_b" and r["state"] == "succeeded"] == [20]
    ledger_balances(tenants, "client_b")


def test_a_record_of_every_stage_is_counted_the_same_everywhere(tenants):
    """Ledger, metrics, log and store agree on 5000 records with 50 nulls and 25 defects or so."""
    data = generate("client_b", rows=5000, nulls=10, bad=5)
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    good, bad = expected_reviews(rows)
    assert len(bad) > 5 and len(rows) - len(good) - len(bad) > 5
    deliver(tenants, "client_b", ("day.csv", data))
    assert select(tenants.coredms("client_b", "product_insights"),
                  "SELECT count(*) FROM product_reviews") == [(len(good),)]
    [run] = [r for r in tenants.get("/v1/runs").json["runs"] if r["state"] == "succeeded"]
    assert run["records_in"] == len(rows)
    assert run["records_out"] == len(good) + len(bad)
    assert run["exit_code"] == 0 and run["cpu_seconds"] >= 0 and run["peak_bytes"] > 0
    metrics = tenants.get("/metrics").body.decode()
    lines = [l for l in metrics.splitlines() if not l.startswith("#") and 'tenant="client_b"' in l]
    assert any(l.endswith(f" {len(bad)}") and "quarantined" in l for l in lines), lines
    assert f"accepted={len(good)}" in tenants.log_text() and f"rejected={len(bad)}" in tenants.log_text()
    ledger_balances(tenants, "client_b")


# A tenant's own program; it runs as another user, who can't read the test's directory, so it is given as text.
APP = ["/bin/sh", "-c", """set -eu
cd "$SOURCE_PATH/$CLIENT_ID"
for f in in/*; do
	case $f in *poison*) echo "can't read $f" >&2; exit 3 ;; esac
	cp "$f" out/
done
"""]


def test_only_the_poisonous_file_is_parked(platform, documents):
    directory = documents("client_b", agreement={"apps": [{"name": "copy", "mode": "batch", "command": APP,
                                                           "schedule": "* * * * *"}]})
    platform.stop()
    platform.start("--set", "manager.run_attempts=1")
    platform.cli("tenant", "add", directory)
    files = [(f"good{n}.csv", generate("client_b", rows=10, keys=n)) for n in range(5)] + [("poison.csv", b"x\n")]
    ids = {f["name"]: f["id"] for f in platform.upload("client_b", *files).json["files"]}
    platform.cli("run", "client_b")
    poison = platform.wait_for_file(ids.pop("poison.csv"), "failed", deadline=60)
    assert "3" in poison["status"], "the exit code is in the sentence"
    for id in ids.values():
        platform.wait_for_file(id, "delivered")
    runs = platform.get("/v1/runs").json["runs"]
    failed = [r for r in runs if r["state"] == "failed"]
    assert failed and all(r["exit_code"] == 3 for r in failed)
    output = platform.get(f"/v1/runs/{failed[0]['id']}/output")
    assert b"can't read in/poison.csv" in output.body
    ledger_balances(platform, "client_b")


def test_app_without_output_is_a_result(platform, documents):
    """An app may drop everything: the file is processed to its end, and nothing waits for ever."""
    directory = documents("client_b", agreement={"apps": [{"name": "drop", "mode": "batch",
                                                           "command": ["/bin/true"],
                                                           "schedule": "* * * * *"}]})
    platform.cli("tenant", "add", directory)
    [file] = platform.upload("client_b", (REVIEWS.name, REVIEWS.read_bytes())).json["files"]
    platform.cli("run", "client_b")
    platform.wait_for_file(file["id"], "delivered", "processed")
    assert platform.get("/v1/runs").json["runs"][0]["files_out"] == 0


def test_program_lies_where_tenants_may_not_go(stopped_platform, tmp_path):
    """As in root's home: the platform's own app starts all the same, as the tenant's user."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    shutil.copy(BIN, private)
    shutil.copytree(BUILD / "apps", private / "apps", ignore=shutil.ignore_patterns("*.p"))
    stopped_platform.start(binary=private / BIN.name)
    stopped_platform.cli("tenant", "add", EXAMPLES / "client_b")
    deliver(stopped_platform, "client_b", (REVIEWS.name, REVIEWS.read_bytes()))


def test_schedule_starts_runs_by_itself(tenants):
    """client_b's agreement says */1 * * * *: nobody calls run."""
    [file] = tenants.upload("client_b", (REVIEWS.name, REVIEWS.read_bytes())).json["files"]
    tenants.wait_for_file(file["id"], "delivered", deadline=100)
    [run] = [r for r in tenants.get("/v1/runs").json["runs"] if r["state"] == "succeeded"]
    assert run["trigger"] == "schedule"
    assert run["scheduled"].endswith(":00Z") or ":00.000" in run["scheduled"]


def test_paused_tenant_takes_files_and_runs_nothing(tenants):
    tenants.cli("tenant", "pause", "client_b")
    [file] = tenants.upload("client_b", (REVIEWS.name, REVIEWS.read_bytes())).json["files"]
    done = tenants.cli("run", "client_b", code=None)
    assert "paused" in done.stdout + done.stderr
    tenants.wait_for_file(file["id"], "staged", "received")
    tenants.cli("tenant", "resume", "client_b")
    tenants.cli("run", "client_b")
    tenants.wait_for_file(file["id"], "delivered")


def test_retention_of_no_days_erases_what_was_delivered(platform, documents):
    directory = documents("client_b", agreement={"data_retention_period_days": "0"})
    platform.stop()
    platform.start("--set", "retention.interval=1s")
    platform.cli("tenant", "add", directory)
    [file] = platform.upload("client_b", (REVIEWS.name, REVIEWS.read_bytes())).json["files"]
    platform.cli("run", "client_b")
    platform.wait_for_file(file["id"], "expired")
    wait_until(lambda: not [p for p in (platform.data / "staging/client_b/.files").iterdir()
                            if not p.name.startswith(".")], what="the original being erased")
    assert select(platform.coredms("client_b", "product_insights"),
                  "SELECT count(*) FROM product_reviews") == [(3,)], "the warehouse keeps its rows"


def test_gzip_arrives_too(tenants):
    import gzip
    name = "reviews.csv.gz"
    [id] = deliver(tenants, "client_b", (name, gzip.compress(generate("client_b", rows=300))))
    assert select(tenants.coredms("client_b", "product_insights"), "SELECT count(*) FROM product_reviews") == [(300,)]


def test_every_upload_hash_is_the_files(tenants):
    data = generate("client_b", rows=100)
    [file] = tenants.upload("client_b", ("hash.csv", data)).json["files"]
    assert file["sha256"] == hashlib.sha256(data).hexdigest()
    assert file["size"] == len(data)
