"""The client verbs against a served platform: upload, files, file, status, tenant, completion."""

import json
import subprocess

from conftest import BIN, ROOT, wait_until
from rest import ONU, listing


def test_cli_upload_files_and_file(tenants, tmp_path):
    good, bad = tmp_path / ONU, tmp_path / "notes.txt"
    good.write_bytes(b"1\n2\n")
    bad.write_bytes(b"x")
    done = tenants.cli("upload", "client_a", good, bad, "--json", code=2)
    answer = json.loads(done.stdout)
    assert [f["state"] in ("received", "staged", "assigned") for f in answer["files"]] == [True, False]
    assert answer["files"][1]["http"] == 415
    assert "already" in tenants.cli("upload", "client_a", good).stdout
    piped = tenants.cli("upload", "client_a", "-", "--name", "in.csv", stdin=b"1\n")
    assert "taken" in piped.stdout
    tenants.cli("upload", "client_a", "-", stdin=b"1\n", code=64)
    assert "nobody" in tenants.cli("upload", "nobody", good, code=3).stderr
    assert "no-such" in tenants.cli("upload", "client_a", tmp_path / "no-such.csv", code=2).stdout
    table = tenants.cli("files", "client_a").stdout
    assert ONU in table and "refused" in table
    line = tenants.cli("file", ONU).stdout
    assert "received" in line and "sha256" in line and "next:" in line
    assert json.loads(tenants.cli("file", answer["files"][0]["id"], "--json").stdout)["name"] == ONU
    status = tenants.cli("status").stdout
    assert "client_a" in status and "healthy" in status
    assert {t["id"] for t in json.loads(tenants.cli("status", "--json").stdout)["tenants"]} == {"client_a", "client_b"}


def test_cli_tenant(tenants, documents):
    again = tenants.cli("tenant", "add", ROOT / "examples/client_a").stdout
    assert again.startswith("same")
    changed = documents("client_a", agreement={"schedule": "*/5 * * * *"})
    assert "change" in tenants.cli("tenant", "add", changed, code=3).stderr
    assert tenants.cli("tenant", "change", changed).stdout.startswith("changed")
    broken = documents("client_a", data_file={"primary_key": ["NOSUCH"]}, agreement={"schedule": "61 * * * *"})
    done = tenants.cli("tenant", "change", broken, code=78)
    assert "data-file.json" in done.stderr and "service-agreement.json" in done.stderr
    token = tenants.cli("tenant", "token", "client_a").stdout.strip()
    assert tenants.get("/tenant/client_a", token=token).status == 200
    assert "paused" in tenants.cli("tenant", "pause", "client_a").stdout
    assert "paused" in tenants.cli("tenant", "list").stdout
    tenants.cli("tenant", "resume", "client_a")
    assert json.loads(tenants.cli("tenant", "show", "client_a", "--json").stdout)["paused"] is False
    assert "no action" in tenants.cli("tenant", "frobnicate", code=64).stderr
    assert "new_client" in tenants.cli("tenant", "show", "new_client", code=3).stderr


def test_cli_without_a_server():
    done = subprocess.run([BIN, "status", "--url", "http://127.0.0.1:1"], capture_output=True, text=True)
    assert done.returncode == 3
    assert "nothing answers at http://127.0.0.1:1" in done.stderr and "mysimbdp serve" in done.stderr


def test_cli_big_upload_is_told_why(tenants, tmp_path):
    big = tmp_path / "big.csv"
    with open(big, "wb") as f:
        f.truncate(60 * 1048576)
    done = tenants.cli("upload", "client_b", big, code=2)
    assert "refused" in done.stdout and "max_file_size_mb" in done.stdout


def test_cli_completion(tenants):
    script = tenants.cli("completion", "bash").stdout
    probe = script + '\nCOMP_WORDS=(mysimbdp tenant pr); COMP_CWORD=2; _mysimbdp 2>/dev/null; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["preview", "propose"]
    for shell in ("zsh", "fish"):
        text = tenants.cli("completion", shell).stdout
        assert "upload" in text and "data-file" in text
    assert tenants.cli("completion", "tenants").stdout.split() == ["client_a", "client_b"]
    tenants.cli("completion", "tcsh", code=64)


def test_cli_propose_preview_change(tenants, tmp_path):
    tenants.cli("upload", "client_a", ROOT / "examples/client_a" / ONU)
    tenants.call("POST", "/v1/tenants/client_a/run")
    wait_until(lambda: listing(tenants, "client_a")[0]["state"] == "delivered", 40, "the delivery")
    done = tenants.cli("tenant", "propose", "client_a")
    assert "ONUID" in done.stderr and json.loads(done.stdout)["schema"]["name"] == "analytics"
    new = tmp_path / "new.json"
    new.write_text(done.stdout)
    assert "1 of 1 records would pass" in tenants.cli("tenant", "preview", "client_a", "--data-file", new).stdout
    assert tenants.cli("tenant", "change", "client_a", "--data-file", new).stdout.startswith("changed")
    line = tenants.cli("file", ONU).stdout
    assert "delivered" in line and "rejected" in line
