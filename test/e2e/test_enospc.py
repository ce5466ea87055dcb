"""A full disk: said clearly, nothing half-written is taken for whole, and after making room everything goes on.

The disk is a tmpfs of a few MiB; without the right to mount one the tests are skipped.
"""

import json
import subprocess

import pytest

from conftest import EXAMPLES, Platform, generate, run, select


@pytest.fixture
def small_disk(tmp_path):
    """small_disk(MiB): a file system that small."""
    mounted = []

    def make(megabytes):
        target = tmp_path / "disk"
        target.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", target],
                              capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"no right to mount a tmpfs: {done.stderr.strip()}")
        mounted.append(target)
        return target

    yield make
    for target in mounted:
        subprocess.run(["umount", "-l", target], check=True)


def fill(directory, leave_kib):
    """A file that takes all but leave_kib of the disk."""
    import os
    ballast = directory / "ballast"
    with open(ballast, "wb") as f:
        free = os.statvfs(directory).f_bavail * os.statvfs(directory).f_bsize
        f.write(b"\0" * max(0, free - leave_kib * 1024))
    return ballast


def test_ingest_into_a_full_disk_resumes_after_making_room(small_disk, tmp_path):
    disk = small_disk(24)
    data = tmp_path / "day.csv"
    data.write_bytes(generate("client_b", rows=12000))
    config = EXAMPLES / "client_b/data-file.json"
    ballast = fill(disk, 2048)
    arguments = ("ingest", "--json", "--config", config, "--to", f"sqlite:{disk}", data)
    done = run(*arguments, code=None)
    assert done.returncode in (3, 4), done.stderr
    assert "disk" in done.stderr.lower() and "space" in done.stderr.lower() or "full" in done.stderr.lower()
    ballast.unlink()
    answer = json.loads(run(*arguments).stdout)
    assert answer["accepted"] == answer["delivered"] == 12000
    assert select(disk / "product_insights.db", "SELECT count(*) FROM product_reviews") == [(12000,)]
    assert json.loads(run(*arguments).stdout)["files"][0]["already"] is True


def test_upload_to_a_full_disk_is_507_and_leaves_nothing(small_disk):
    disk = small_disk(32)
    platform = Platform(disk)
    try:
        platform.start()
        platform.cli("tenant", "add", EXAMPLES / "client_b")
        ballast = fill(disk, 4096)
        answer = platform.upload("client_b", ("big.csv", generate("client_b", rows=12000)))
        assert answer.status == 507, answer
        assert answer.json["detail"]
        assert [f for f in platform.get("/tenant/client_b").json["files"] if f["state"] != "refused"] == []
        originals = disk / "data/staging/client_b/.files"
        assert not originals.exists() or list(originals.iterdir()) == []
        assert platform.get("/ping").status == 200
        ballast.unlink()
        answer = platform.upload("client_b", ("big.csv", generate("client_b", rows=3000)))
        assert answer.status == 201, answer
        platform.cli("run", "client_b")
        platform.wait_for_file(answer.json["files"][0]["id"], "delivered")
    finally:
        platform.end()
        platform.stop()


def test_disk_that_fills_while_a_worker_delivers(small_disk):
    """The tenant's file waits, the platform lives, and with room again the file is delivered whole."""
    disk = small_disk(48)
    platform = Platform(disk)
    try:
        platform.start("--set", "upload.min_free=0")
        platform.cli("tenant", "add", EXAMPLES / "client_b")
        answer = platform.upload("client_b", ("big.csv", generate("client_b", rows=20000)))
        assert answer.status == 201, answer
        id = answer.json["files"][0]["id"]
        ballast = fill(disk, 11 * 1024)
        platform.cli("run", "client_b", code=None)
        platform.wait_for_file(id, "staged", "assigned", "processed", "checked", "failed")
        assert platform.get("/ping").status == 200
        ballast.unlink()

        def delivered():
            state = platform.file_state(id)
            if state == "staged":
                platform.cli("run", "client_b", code=None)
            return state == "delivered"
        from conftest import wait_until
        wait_until(delivered, 90, "the file being delivered after room was made")
        assert select(platform.coredms("client_b", "product_insights"),
                      "SELECT count(*) FROM product_reviews") == [(20000,)]
        platform.cli("ledger", "check", "client_b")
    finally:
        platform.end()
