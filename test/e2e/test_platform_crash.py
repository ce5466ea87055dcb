"""kill -9 of the platform, its workers and its apps at every named point, and at any moment: afterwards nothing is lost
and nothing is doubled.

Each test compares with a run that nobody disturbed: the rows with their keys and values, and the quarantine.
"""

import http.client
import os
import random
import signal
import time

import pytest

from conftest import generate, select, wait_until

# Named points (base/fault.h) in the order a file passes them; each dies at its first passage.
POINTS = """upload.write upload.sync upload.rename.after upload.commit.before upload.commit.after ledger.commit
            run.workspace workspace.link run.assigned run.started supervise.start.before supervise.status.before
            supervise.status.after run.ended promote.taken promote.placed promote.checked run.end.before run.end.after
            run.recorded gate.batch extsort.spill quarantine.commit sink.commit.before sink.commit.before=kill@2
            sink.commit.before=kill@5 sink.commit.before=kill@9 gate.batch=kill@7 ingest.delivered
            ingest.done""".split()

# Whoever waits for it does not see this death: the status is on disk already.
UNSEEN = {"supervise.status.after"}

# The first file has at least ten batches at source and sink, and is sorted on disk.
FILES = [(f"day {n}.csv", generate("client_b", rows=rows, keys=n, seed=n, bad=20, nulls=20))
         for n, rows in enumerate((5000, 400, 30))]
SMALL_BATCHES = ("--set", "ingest.source_batch_rows=400", "--set", "ingest.sink_batch_rows=400",
                 "--set", "ingest.sort_memory=1MiB")


def content(platform):
    """What the warehouse and the quarantine hold, without lineage ids."""
    db = platform.coredms("client_b", "product_insights")
    rows = select(db, "SELECT * FROM product_reviews ORDER BY product_id, review_id, customer_id")
    names = [d[1] for d in select(db, "PRAGMA table_info(product_reviews)")]
    own = [i for i, name in enumerate(names) if not name.startswith("_mysimbdp")]
    entries = platform.quarantine("client_b")
    return ([tuple(r[i] for i in own) for r in rows],
            sorted((e["file"], e["row"], e["stage"], e["rule"], e["raw"]) for e in entries))


def upload_until_taken(platform):
    """As a careful client: what was not acknowledged is sent again."""
    for name, data in FILES:
        try:
            answer = platform.upload("client_b", (name, data))
        except (OSError, http.client.HTTPException):
            return False
        if answer.status not in (200, 201):
            return False
    return True


def settle(platform):
    """Run until every file is delivered."""
    def done():
        states = [f["state"] for f in platform.get("/tenant/client_b").json["files"]]
        if states and all(s == "delivered" for s in states):
            return True
        if "staged" in states:
            platform.cli("run", "client_b", code=None)
        return False
    wait_until(done, 60, "every file being delivered")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    from conftest import EXAMPLES, Platform
    p = Platform(tmp_path_factory.mktemp("undisturbed"))
    try:
        p.start()
        p.cli("tenant", "add", EXAMPLES / "client_b")
        assert upload_until_taken(p)
        settle(p)
        return content(p)
    finally:
        p.end()


def add_tenant(platform):
    from conftest import EXAMPLES
    platform.start(*SMALL_BATCHES)
    platform.cli("tenant", "add", EXAMPLES / "client_b")


def afterwards(platform, want):
    """Start again without faults: all that was acknowledged arrives, once."""
    platform.kill()
    platform.start(*SMALL_BATCHES)
    assert upload_until_taken(platform)
    settle(platform)
    assert content(platform) == want
    platform.cli("ledger", "check", "client_b")
    files = platform.get("/tenant/client_b").json["files"]
    assert len(files) == len(FILES), "no file twice"


@pytest.mark.parametrize("point", POINTS)
def test_death_at(point, stopped_platform, undisturbed):
    platform = stopped_platform
    add_tenant(platform)
    platform.stop()
    fault = point if "=" in point else f"{point}=kill"
    platform.start(*SMALL_BATCHES, env={"MYSIMBDP_FAULT": fault}, ready=False)

    mark = len(platform.log_text())

    def somebody_died():
        said = platform.log_text()[mark:]
        return platform.process.poll() is not None or "signal=9" in said or "state=lost" in said

    wait_until(lambda: platform.process.poll() is not None or platform._is_ready(), 20, "serve being ready or dead")
    if platform.process.poll() is None and upload_until_taken(platform):
        platform.cli("run", "client_b", code=None, timeout=10)
    if point not in UNSEEN:
        wait_until(somebody_died, 15, f"a death at {point}")
    afterwards(platform, undisturbed)


@pytest.mark.parametrize("seed", range(6))
def test_death_at_any_moment(seed, stopped_platform, undisturbed):
    """serve and, half of the time, everything it started is killed after a random time; three times in a row."""
    rng = random.Random(seed)
    platform = stopped_platform
    add_tenant(platform)
    for _ in range(3):
        if upload_until_taken(platform):
            platform.cli("run", "client_b", code=None)
        time.sleep(rng.uniform(0, 0.4))  # the moment is the test
        if rng.random() < 0.5:
            os.killpg(platform.process.pid, signal.SIGKILL)
        platform.kill()
        platform.start(*SMALL_BATCHES)
    afterwards(platform, undisturbed)


def test_nothing_is_left_running(stopped_platform):
    """SIGTERM drains: exit 0 and no child outlives it."""
    platform = stopped_platform
    add_tenant(platform)
    assert upload_until_taken(platform)
    platform.cli("run", "client_b")
    assert platform.stop() == 0
    marker = str(platform.data).encode()

    def alive():
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if marker in f.read():
                        found.append(pid)
            except OSError:
                pass
        return found
    assert alive() == []


def test_second_instance_is_refused(platform):
    from conftest import run
    done = run("serve", "--data", platform.data, "--set", "api.port=0", code=None, timeout=20)
    assert done.returncode not in (0, 64)
    assert str(platform.process.pid) in done.stderr or "already" in done.stderr
