"""The REST API over real sockets: tokens, broken requests byte by byte, listings, documents, runs, metrics."""

import json
import re
import subprocess
import threading
import time

import pytest

from conftest import BIN, EXAMPLES, ROOT, SLOW, select, wait_until
from rest import ONU, Raw, exchange, head, listing, nothing_left, problem, samples


# ---- who may do what

def test_no_token_is_401_with_the_line_to_use(tenants):
    for token in (None, "wrong", "msb_" + "A" * 43):
        answer = tenants.get("/tenant/client_b", token=token)
        document = problem(answer, 401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert 'curl -H "Authorization: Bearer' in document["hint"] and tenants.url[7:] in document["hint"]
    body = exchange(tenants, head(tenants, "POST", "/upload-file/client_b?name=a.csv", "Content-Length: 5", token=None) + b"12345")
    problem(body, 401)
    basic = tenants.call("GET", "/tenant/client_b", token=None, headers={"Authorization": "Basic Zm9vOmJhcg=="})
    problem(basic, 401)
    assert nothing_left(tenants)


def test_a_tenants_token_reaches_only_its_own(tenants):
    token = tenants.call("POST", "/v1/tenants/client_a/token").json["token"]
    assert tenants.get("/tenant/client_a", token=token).status == 200
    theirs = tenants.upload("client_b", ("b.csv", b"1")).json["files"][0]["id"]
    answers = [tenants.get(f"/tenant/{who}", token=token) for who in ("client_b", "nobody", "..%2fclient_b")]
    documents = [problem(a, 403) for a in answers]
    assert documents[0]["detail"] == documents[1]["detail"]  # existing or not makes no difference
    problem(tenants.upload("client_b", ("x.csv", b"1"), token=token), 403)
    problem(tenants.call("PUT", "/v1/tenants/client_a", {}, token=token), 403)
    problem(tenants.get("/v1/files?tenant=client_b", token=token), 403)
    problem(tenants.get("/v1/quarantine?tenant=client_b", token=token), 403)
    problem(tenants.get(f"/v1/files/{theirs}", token=token), 404)
    problem(tenants.call("DELETE", f"/v1/files/{theirs}", token=token), 404)
    assert tenants.get("/v1/files", token=token).json["files"] == []
    assert [t["id"] for t in tenants.get("/v1/tenants", token=token).json["tenants"]] == ["client_a"]
    newer = tenants.call("POST", "/v1/tenants/client_a/token").json["token"]
    problem(tenants.get("/tenant/client_a", token=token), 401)
    assert tenants.get("/tenant/client_a", token=newer).status == 200


def test_unknown_tenant_is_404_for_the_administrator(tenants):
    problem(tenants.get("/tenant/nobody"), 404)
    problem(tenants.upload("nobody", ("a.csv", b"1")), 404)
    problem(tenants.get("/tenant/..%2f..%2fetc"), 404)
    assert not (tenants.data / "staging" / "nobody").exists()


def test_tokens_are_not_on_disk(tenants):
    token = tenants.call("POST", "/v1/tenants/client_a/token").json["token"]
    file = tenants.data / "admin.token"
    assert file.stat().st_mode & 0o777 == 0o600
    for path in tenants.data.rglob("*"):
        if path.is_file() and path != file:
            content = path.read_bytes()
            assert token.encode() not in content and tenants.admin_token.encode() not in content, path
    assert token not in tenants.log_text() and tenants.admin_token not in tenants.log_text()


def test_other_hosts_are_refused_on_loopback(tenants):
    raw = Raw(tenants).send(b"GET /ping HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    problem(raw.answer(), 403)
    for host in ("localhost:1", "127.0.0.1", "[::1]:8090", "mysimbdp.localhost"):
        assert Raw(tenants).send(f"GET /ping HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).answer()[0] == 200


def test_no_auth(stopped_platform):
    p = stopped_platform.start("--no-auth")
    assert p.get("/v1/tenants", token=None).status == 200
    problem(p.call("POST", "/v1/tenants/x/pause", token=None, headers={"Origin": "http://evil.example"}), 403)
    assert "no token" in p.log_text()


def test_no_auth_only_on_loopback(tmp_path):
    done = subprocess.run([BIN, "serve", "--data", tmp_path / "d", "--set", "api.listen=0.0.0.0:0", "--no-auth"],
                          capture_output=True, timeout=20 * SLOW)
    assert done.returncode != 0 and b"loopback" in done.stdout + done.stderr


# ---- broken and hostile requests

@pytest.mark.parametrize("data", [
    b"GARBAGE\r\n\r\n", b"GET\r\n\r\n", b"GET /ping HTTP/9.9\r\n\r\n", b"\r\n\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /tenant/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /tenant/%ff HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /" + b"a" * 300000, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"y" * 300000 + b"\r\n\r\n",
    b"POST /upload-file/client_b HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    b"POST /upload-file/client_b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"POST /upload-file/client_b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    b"POST /upload-file/client_b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /v1/files?" + b"&".join(b"a%d=1" % i for i in range(40)) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
])
def test_broken_requests_do_no_harm(tenants, data):
    raw = Raw(tenants)
    try:
        raw.send(data).half_close()
        answer = raw.answer()
        assert answer is None or 400 <= answer[0] < 600
    except OSError:
        pass  # a reset is as good
    raw.close()
    assert tenants.get("/ping").status == 200
    assert nothing_left(tenants)


def test_chunks_in_small_pieces_and_pipelining(tenants):
    raw = Raw(tenants)
    raw.send(head(tenants, "POST", "/upload-file/client_b?name=p.csv", "Transfer-Encoding: chunked"))
    for piece in (b"3", b"\r\n", b"ab", b"c\r", b"\n2;x=y\r\n", b"de\r\n0\r\n", b"\r\n"):
        raw.send(piece)
    status, headers, body = raw.answer()
    assert status == 201 and json.loads(body)["files"][0]["size"] == 5
    raw.send(head(tenants, "GET", "/ping") + head(tenants, "GET", "/version"))
    assert json.loads(raw.answer()[2]) == {"status": "ok"}
    assert json.loads(raw.answer()[2])["name"] == "mysimbdp"
    raw.close()


def test_slow_headers_do_not_hold_a_connection(stopped_platform):
    p = stopped_platform.start("--set", "api.header_timeout=1s", "--set", "api.idle_timeout=2s")
    raw = Raw(p)
    raw.send(b"GET /ping HTTP/1.1\r\n")
    closed = threading.Event()

    def drip():
        try:
            while not closed.is_set():
                raw.send(b"X: y\r\n")
                time.sleep(0.1)
        except OSError:
            pass

    thread = threading.Thread(target=drip)
    thread.start()
    began = time.monotonic()
    try:
        raw.answer()
    except OSError:
        pass
    closed.set()
    thread.join()
    assert time.monotonic() - began < 8 * SLOW
    idle = Raw(p).send(head(p, "POST", "/v1/tenants/x/pause", "Content-Length: 10") + b"123")
    assert idle.answer()[0] in (404, 408)


# ---- reading

def test_listing_is_paged(tenants):
    ids = [tenants.upload("client_b", (f"{i}.csv", b"%d" % i)).json["files"][0]["id"] for i in range(7)]
    seen, cursor, pages = [], "", 0
    while cursor is not None:
        page = tenants.get(f"/tenant/client_b?limit=3&cursor={cursor}").json
        seen += [f["id"] for f in page["files"]]
        cursor, pages = page["next"], pages + 1
    assert seen == ids[::-1] and pages == 3
    assert len(tenants.get("/v1/files?limit=7").json["files"]) == 7
    assert tenants.get("/v1/files?limit=7").json["next"] is None
    assert [f["id"] for f in tenants.get("/tenant/client_b?name=3.csv").json["files"]] == [ids[3]]
    for bad in ("limit=0", "limit=1001", "limit=x", "cursor=zz", "state=nothing"):
        problem(tenants.get(f"/tenant/client_b?{bad}"), 400)


def test_delete_before_a_run(tenants):
    tenants.call("POST", "/v1/tenants/client_b/pause")
    id = tenants.upload("client_b", ("d.csv", b"1")).json["files"][0]["id"]
    assert tenants.call("DELETE", f"/v1/files/{id}").json["state"] == "deleted"
    assert listing(tenants) == []
    assert [f["state"] for f in tenants.get("/v1/files").json["files"]] == ["deleted"]
    assert tenants.call("DELETE", f"/v1/files/{id}").status == 200
    problem(tenants.call("DELETE", "/v1/files/f999"), 404)
    problem(tenants.get("/v1/files/xyz"), 404)
    assert tenants.upload("client_b", ("d.csv", b"1")).status == 201


def test_delete_that_was_cut_erases_at_the_next_start(stopped_platform):
    p = stopped_platform.start(env={"MYSIMBDP_FAULT": "delete.moved=kill"})
    p.cli("tenant", "add", EXAMPLES / "client_b")
    p.call("POST", "/v1/tenants/client_b/pause")
    id = p.upload("client_b", ("d.csv", b"1")).json["files"][0]["id"]
    with pytest.raises(OSError):
        p.call("DELETE", f"/v1/files/{id}")
    p.process.wait(20)
    p.start()
    assert p.file_state(id) == "deleted"
    assert not [f for d in ("in", ".files") for f in (p.data / "staging/client_b" / d).iterdir()]
    assert select(p.data / "ledger.db", "SELECT kind, ref FROM erasure") == [("original", 1)]


def test_time_line(tenants):
    id = tenants.upload("client_b", ("t.csv", b"1")).json["files"][0]["id"]
    line = tenants.get(f"/v1/files/{id}").json
    assert line["id"] == id and line["tenant"] == "client_b"
    assert line["events"][0]["what"] == "received"
    times = [e["at"] for e in line["events"]]
    assert times == sorted(times)


def test_tenants_over_rest(platform):
    examples = ROOT / "examples/client_b"
    documents = {"data_file": json.loads((examples / "data-file.json").read_text()),
                 "agreement": (examples / "service-agreement.json").read_text()}
    added = platform.call("PUT", "/v1/tenants/client_b", documents)
    assert added.status == 201 and added.json["version"] == 1 and added.json["added"]
    again = platform.call("PUT", "/v1/tenants/client_b", documents)
    assert again.status == 200 and not again.json["changed"]
    shown = platform.get("/v1/tenants/client_b").json
    assert shown["agreement"] == documents["agreement"] and shown["table"] == "product_insights.product_reviews"
    assert shown["apps"][0]["next"]
    documents["data_file"]["csv.first.row.as.heder"] = "true"
    documents["data_file"]["max_file_size_mb"] = -1
    bad = platform.call("PUT", "/v1/tenants/client_b", documents)
    document = problem(bad, 422)
    assert len(document["problems"]) >= 2
    assert any("csv.first.row.as.header" in json.dumps(p) for p in document["problems"])
    wrong = platform.call("PUT", "/v1/tenants/client_x", documents | {"data_file": json.loads((examples / "data-file.json").read_text())})
    assert any(p["path"] == "$.client" for p in problem(wrong, 422)["problems"])
    problem(platform.call("PUT", "/v1/tenants/BAD!", documents), 400)
    problem(platform.call("PUT", "/v1/tenants/client_b", {"data_file": {}}), 400)
    problem(platform.call("PUT", "/v1/tenants/client_b", [1]), 400)
    problem(platform.call("PUT", "/v1/tenants/client_b", b"{"), 400)
    problem(platform.call("PUT", "/v1/tenants/client_b", b" " * (3 << 20)), 413)
    assert platform.get("/v1/tenants").json["next"] is None


def test_system_routes(tenants):
    for path in ("/ping", "/livez", "/ready", "/readyz", "/health", "/healthz", "/version", "/endpoints", "/", "/ping/"):
        assert tenants.get(path, token=None).status == 200, path
    assert tenants.get("/version").json["name"] == "mysimbdp"
    answer = tenants.call("PATCH", "/tenant/client_b")
    problem(answer, 405)
    assert answer.headers["Allow"] == "GET"
    problem(tenants.get("/nothing/here"), 404)
    assert tenants.call("HEAD", "/ping").body == b""


def test_openapi_and_docs_follow_the_routes(tenants):
    document = tenants.get("/openapi.json", token=None).json
    assert document["openapi"].startswith("3.0")
    served = {(r["method"], r["path"]) for r in tenants.get("/endpoints").json["endpoints"]}
    described = {(m.upper(), path) for path, methods in document["paths"].items() for m in methods}
    assert served == described and len(served) > 25
    written = set(re.findall(r"^\| `(GET|POST|PUT|DELETE) (\S+)`", (ROOT / "docs/api.md").read_text(), re.M))
    assert written == served
    ids = [o["operationId"] for m in document["paths"].values() for o in m.values()]
    assert len(ids) == len(set(ids))


def test_metrics(tenants):
    problem(tenants.get("/metrics", token=None), 401)
    tenants.upload("client_b", ("m.csv", b"12345"))
    tenants.upload("client_b", ("m.csv", b"12345"))
    tenants.upload("client_b", ("m.pdf", b"1"))
    answer = tenants.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    text = answer.body.decode()
    values = samples(text)
    assert values['mysimbdp_uploads_total{tenant="client_b",result="new"}'] == 1
    assert values['mysimbdp_uploads_total{tenant="client_b",result="repeat"}'] == 1
    assert values['mysimbdp_uploads_total{tenant="client_b",result="unsupported"}'] == 1
    assert values['mysimbdp_file_state{tenant="client_b",state="refused"}'] == 1
    assert values['mysimbdp_ledger_imbalance_rows{tenant="client_b"}'] == 0
    assert values['mysimbdp_backlog_bytes{tenant="client_a"}'] == 0
    in_states = sum(v for k, v in values.items() if k.startswith('mysimbdp_file_state{tenant="client_b"'))
    assert in_states == select(tenants.data / "ledger.db", "SELECT count(*) FROM file WHERE tenant = 'client_b'")[0][0]
    documented = (ROOT / "docs/metrics.md").read_text()
    for name in re.findall(r"^# TYPE (\S+)", text, re.M):
        assert f"`{name}" in documented, name
        assert name.startswith("mysimbdp_")


def test_open_metrics(stopped_platform):
    p = stopped_platform.start("--set", "api.open_metrics=true")
    assert p.get("/metrics", token=None).status == 200


# ---- runs, quarantine and jobs

def wait_job(platform, job):
    assert job.status == 202 and job.headers["Location"].endswith(job.json["id"]), job
    done = wait_until(lambda: (j := platform.get(f"/v1/jobs/{job.json['id']}").json)["state"] in ("done", "failed") and j,
                      30, "the job's end")
    assert done["state"] == "done", done
    return done["result"]


def test_runs_quarantine_and_jobs_over_rest(tenants):
    source = ROOT / "examples/client_a" / ONU
    id = tenants.upload("client_a", (ONU, source.read_bytes())).json["files"][0]["id"]
    started = tenants.call("POST", "/v1/tenants/client_a/run")
    assert started.status in (200, 202)  # 200: the full hour came, and the schedule was faster
    entry = tenants.wait_for_file(id, "delivered")
    run = entry["run"]
    assert started.json["run"] in (run, None)
    whats = [e["what"] for e in entry["events"]]
    assert whats[0] == "received" and whats[-1] == "delivered" and {"staged", "assigned", "processed"} <= set(whats)
    detail = tenants.get(f"/v1/runs/{run}").json
    assert detail["state"] == "succeeded" and [f["id"] for f in detail["files"]] == [id]
    output = detail["outputs"][0]
    assert output["records"] == output["accepted"] + output["rejected"] and output["rejected"] == 1
    assert output["accepted"] == output["delivered"] + output["refused_by_sink"]
    assert run in [r["id"] for r in tenants.get("/v1/runs?tenant=client_a").json["runs"]]
    assert tenants.get(f"/v1/runs/{run}/output").status in (200, 404)
    problem(tenants.get("/v1/runs/r999"), 404)

    page = tenants.get("/v1/quarantine?tenant=client_a").json
    assert len(page["records"]) == 1 and page["next"] is None
    record = page["records"][0]
    assert "222277164261810113006" in record["raw"] and record["rule"] == "type" and record["line"] == 2
    assert sum(c["open"] for c in page["counts"]) == 1
    assert tenants.get("/v1/quarantine?tenant=client_a&rule=nothing").json["records"] == []
    problem(tenants.get("/v1/quarantine"), 400)
    assert tenants.get("/v1/quarantine?tenant=client_b").json["records"] == []

    proposal = wait_job(tenants, tenants.call("POST", "/v1/tenants/client_a/proposal"))
    changed = {c["field"]: c["to"] for c in proposal["changes"]}
    assert changed["IFINDEX"] == "long" and changed["ONUID"] == "string"
    documents = {"data_file": proposal["data_file"],
                 "agreement": (ROOT / "examples/client_a/service-agreement.json").read_text()}
    preview = wait_job(tenants, tenants.call("POST", "/v1/tenants/client_a/preview", documents))
    assert preview["would_pass"] == 1
    put = tenants.call("PUT", "/v1/tenants/client_a", documents).json
    assert put["changed"] and put["version"] == 2
    replay = wait_job(tenants, tenants.call("POST", "/v1/tenants/client_a/quarantine/replay", {"rule": "type"}))
    assert replay["delivered"] == 1
    rows = select(tenants.coredms("client_a", "mysimbdp_coredms"), "SELECT ONUID FROM analytics WHERE IFINDEX = 6828878457269")
    assert rows == [("222277164261810113006",)]
    values = samples(tenants.get("/metrics").body.decode())
    assert values['mysimbdp_rows_quarantined_total{tenant="client_a"}'] == 1
    assert values['mysimbdp_rows_replayed_total{tenant="client_a"}'] == 1
    assert values['mysimbdp_ledger_imbalance_rows{tenant="client_a"}'] == 0
    problem(tenants.call("POST", "/v1/tenants/client_a/quarantine/replay", {"rul": "type"}), 400)
    problem(tenants.call("POST", "/v1/tenants/client_a/preview", {"data_file": "{", "agreement": "{}"}), 422)
    problem(tenants.get("/v1/jobs/j999"), 404)
    token = tenants.call("POST", "/v1/tenants/client_b/token").json["token"]
    problem(tenants.get(f"/v1/runs/{run}", token=token), 404)
    problem(tenants.get(f"/v1/runs/{run}/output", token=token), 404)
    problem(tenants.get("/v1/jobs/j1", token=token), 404)
    assert tenants.get("/v1/runs", token=token).json["runs"] == []
    problem(tenants.call("DELETE", f"/v1/files/{id}"), 409)
