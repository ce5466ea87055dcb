"""kill -9 at every stage of a run: nothing is lost, nothing is doubled, nothing is left behind.

Each named fault point ends one process by SIGKILL at one moment (base/fault.h): serve, the supervisor of a run, or the
worker. Then the platform starts again without faults and must come to what an undisturbed platform comes to.
"""

import random
import time
from pathlib import Path

import pytest
import small_tenant
from conftest import select, wait_until
from small_tenant import HEADER, csv_of, rows, runs, upload

SETTINGS = ["--set", "manager.retry_delay=0", "--set", "manager.worker_idle=1"]

SERVE = ["run.assigned", "run.workspace", "run.started", "run.recorded", "run.ended", "promote.taken",
         "promote.checked", "run.end.before", "run.end.after", "promote.placed"]
SUPERVISOR = ["supervise.start.before", "supervise.status.before", "supervise.status.after"]
WORKER = ["worker.output.before", "worker.output.after"]

FILES = [("one.csv", csv_of("one", 50)),
         ("two.csv", HEADER + b"".join(b"two-%d,%s\n" % (i, b"bad" if i % 10 == 3 else b"%d" % i) for i in range(50))),
         ("three.csv", HEADER + b"one-7,700\none-8,800\n")]         # a correction: later wins
EXPECTED = {f"one-{i}": i for i in range(50)} | {f"two-{i}": i for i in range(50) if i % 10 != 3}
EXPECTED |= {"one-7": 700, "one-8": 800}


def prepare(p, tmp_path, **options):
    small_tenant.add(p, tmp_path, script=small_tenant.GOOD + "; sleep 0.1", **options)
    return upload(p, *FILES)


def settled(p, ids):
    """Everything arrived, once, and no trace of a run is left but its record."""
    for id in ids:
        p.wait_for_file(id, "delivered", deadline=60)
    assert rows(p) == EXPECTED
    quarantine = p.data / "quarantine/acme/quarantine.db"
    raw = sorted(r[0] for r in select(quarantine, "SELECT CAST(raw AS TEXT) FROM entry WHERE state = 'open'"))
    assert raw == sorted(f"two-{i},bad" for i in range(3, 50, 10))
    wait_until(lambda: not list((p.data / "workspace").iterdir()), what="workspaces being removed")
    assert not list((p.data / "outputs/acme").glob(".run-*"))
    assert not list((p.data / "staging/acme/in").iterdir())
    succeeded = [r for r in runs(p) if r["state"] == "succeeded"]
    assert sum(r["files_in"] for r in succeeded) == len(FILES), runs(p)
    outputs = [o for r in succeeded for o in p.get(f"/v1/runs/{r['id']}").json["outputs"]]
    assert sorted(o["name"] for o in outputs) == sorted(n for n, _ in FILES)
    for o in outputs:
        assert o["records"] == o["accepted"] + o["rejected"], o
    assert select(p.data / "ledger.db", "SELECT count(*) FROM child")[0][0] <= 1      # a worker that is still idle


@pytest.mark.parametrize("point", SERVE)
def test_serve_is_killed(stopped_platform, tmp_path, point):
    p = stopped_platform.start(*SETTINGS, env={"MYSIMBDP_FAULT": f"{point}=kill"})
    ids = prepare(p, tmp_path)
    try:
        p.call("POST", "/v1/tenants/acme/run")
    except OSError:
        pass                                                 # it died before the answer
    wait_until(lambda: p.process.poll() is not None, what=f"the kill at {point}")
    assert p.process.returncode == -9
    p.start(*SETTINGS)
    answer = p.call("POST", "/v1/tenants/acme/run")
    assert answer.status in (200, 202), answer
    settled(p, ids)


@pytest.mark.parametrize("point", SUPERVISOR)
def test_supervisor_is_killed(stopped_platform, tmp_path, point):
    p = stopped_platform.start(*SETTINGS, env={"MYSIMBDP_FAULT": f"{point}=kill"})
    ids = prepare(p, tmp_path)
    p.call("POST", "/v1/tenants/acme/run")
    if point != "supervise.status.after":                    # then the status says that it went well
        wait_until(lambda: any(r["state"] == "lost" for r in runs(p)), what="a lost run on record")
        p.kill()
        p.start(*SETTINGS)
    settled(p, ids)


@pytest.mark.parametrize("point", WORKER)
def test_worker_is_killed(stopped_platform, tmp_path, point):
    p = stopped_platform.start(*SETTINGS, env={"MYSIMBDP_FAULT": f"{point}=kill"})
    ids = prepare(p, tmp_path)
    p.call("POST", "/v1/tenants/acme/run")
    wait_until(lambda: 'msg="worker ended"' in p.log_text() and "signal=9" in p.log_text(), what="the worker's death")
    assert p.get("/ready").status == 200                     # a tenant's trouble stays its own
    p.kill()
    p.start(*SETTINGS)
    settled(p, ids)


def test_killed_at_random_moments(stopped_platform, tmp_path):
    p = stopped_platform.start(*SETTINGS)
    ids = prepare(p, tmp_path, schedule="@every 1s", maxFilesPerRun=1)
    rng = random.Random(4711)
    for _ in range(6):
        end = time.monotonic() + rng.uniform(0.05, 0.9)
        wait_until(lambda: time.monotonic() > end, what="a random moment")
        p.kill()
        p.start(*SETTINGS)
    settled(p, ids)


def test_children_die_with_serve(stopped_platform, tmp_path):
    p = stopped_platform.start(*SETTINGS)
    small_tenant.add(p, tmp_path, script="trap '' TERM HUP INT; touch $SOURCE_PATH/acme/out/up; sleep 43210",
                     app={"activeDeadlineSeconds": 600})
    [a] = upload(p, FILES[0])
    p.call("POST", "/v1/tenants/acme/run")

    def sleepers():
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if path.read_bytes() == b"sleep\0" + b"43210\0":
                    found.append(path.parent.name)
            except OSError:
                pass
        return found

    wait_until(sleepers, what="the app")
    p.kill()
    wait_until(lambda: not sleepers(), 15, "the app's death with its platform")
    p.start(*SETTINGS)
    small_tenant.add(p, tmp_path)
    assert p.get("/v1/runs/r1").json["state"] in ("lost", "failed")
    assert p.get(f"/v1/files/{a}").json["attempts"] == 1
