"""A tenant with one small table and an app of the test's choice, for tests of runs rather than of data."""

import json

HEADER = b"id,n\n"
GOOD = 'cd "$SOURCE_PATH/$CLIENT_ID" && cp in/* out/'       # the simplest app that keeps the contract


def add(platform, tmp_path, name="acme", script=GOOD, app=None, data_file=None, **agreement):
    """Register the tenant; script is what its app does (sh), app and agreement are further members."""
    directory = tmp_path / f"documents-{name}"
    directory.mkdir(exist_ok=True)
    (directory / "data-file.json").write_text(json.dumps({
        "name": "small", "file_type": "csv", "key_space": f"ks_{name}", "csv.first.row.as.header": True,
        "schema": {"type": "record", "name": "small", "fields": [
            {"name": "id", "type": "string"}, {"name": "n", "type": ["null", "long"]}]},
        "primary_key": ["id"], "max_file_size_mb": 50} | (data_file or {})))
    (directory / "service-agreement.json").write_text(json.dumps({
        "client": name, "schedule": "0 0 1 1 *",
        "apps": [{"name": "default", "command": ["/bin/sh", "-c", script]} | (app or {})]} | agreement))
    known = platform.get(f"/v1/tenants/{name}").status == 200
    platform.cli("tenant", "change" if known else "add", directory)
    return name


def rows(platform, name="acme"):
    """{id: n} of the table, by a reader that is not ours; {} before there is one."""
    from conftest import select
    db = platform.coredms(name, f"ks_{name}")
    if not db.exists() or not select(db, "SELECT 1 FROM sqlite_master WHERE name = 'small'"):
        return {}
    return dict(select(db, "SELECT id, n FROM small"))


def csv_of(prefix, count):
    return HEADER + b"".join(b"%s-%d,%d\n" % (prefix.encode(), i, i) for i in range(count))


def upload(platform, *files, name="acme"):
    """Upload (name, bytes)...; their ids."""
    answer = platform.upload(name, *files)
    assert answer.status == 201, answer
    return [f["id"] for f in answer.json["files"]]


def run_now(platform, name="acme", app=None):
    """Start the app now and follow it to its end: the run's entry."""
    from conftest import wait_until
    answer = platform.call("POST", f"/v1/tenants/{name}/run" + (f"?app={app}" if app else ""))
    assert answer.status in (200, 202), answer
    if not answer.json["started"]:
        return answer.json
    run = answer.json["run"]
    return wait_until(lambda: ended(platform, run), 60, f"run {run} ending")


def ended(platform, run):
    entry = platform.get(f"/v1/runs/{run}").json
    return entry if entry["state"] not in ("starting", "running") else None


def runs(platform, name="acme"):
    """Newest first."""
    return platform.get(f"/v1/runs?tenant={name}").json["runs"]


def printed(platform, run):
    return platform.get(f"/v1/runs/{run}/output").body.decode(errors="replace")
