"""The REST API over real sockets: uploads good and bad, broken requests byte by byte, tokens, listings, metrics.

Raw requests are written to a socket by hand, so that what is tested is the server and not a client's good manners.
"""

import hashlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.parse
from pathlib import Path

import pytest

from conftest import BIN, ROOT, SLOW, multipart, select, wait_until

ONU = "ONUData-sample_min_1 23.08.58.csv"


class Raw:
    """A connection on which a test writes bytes and reads answers."""

    def __init__(self, platform, timeout=15):
        url = urllib.parse.urlparse(platform.url)
        self.socket = socket.create_connection((url.hostname, url.port), timeout=timeout * SLOW)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)
        return self

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def close(self):
        self.socket.close()

    def answer(self):
        """(status, headers, body); None when the connection ended without one."""
        while b"\r\n\r\n" not in self.buffer:
            more = self.socket.recv(65536)
            if not more:
                return None
            self.buffer += more
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        status = int(lines[0].split()[1])
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
        if status == 100:
            return self.answer()
        while len(self.buffer) < int(headers.get("content-length", 0)):
            more = self.socket.recv(65536)
            assert more, "the answer was cut"
            self.buffer += more
        n = int(headers.get("content-length", 0))
        body, self.buffer = self.buffer[:n], self.buffer[n:]
        return status, headers, body


def head(platform, method, path, *headers, token=...):
    """The head of a request, without its last empty line's body."""
    token = platform.admin_token if token is ... else token
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join(lines + list(headers)).encode() + b"\r\n\r\n"


def exchange(platform, data, half_close=False):
    raw = Raw(platform)
    raw.send(data)
    if half_close:
        raw.half_close()
    answer = raw.answer()
    raw.close()
    return answer


def listing(platform, tenant="client_b"):
    return platform.get(f"/tenant/{tenant}").json["files"]


def originals(platform, tenant="client_b"):
    directory = platform.data / "staging" / tenant / ".files"
    return sorted(p.name for p in directory.iterdir()) if directory.exists() else []


def nothing_left(platform, tenant="client_b"):
    """No file, no entry, no half of a file."""
    wait_until(lambda: not [n for n in originals(platform, tenant) if n.startswith(("tmp-", "ready-"))], 10,
               "removing what is incomplete")
    return originals(platform, tenant) == [] and listing(platform, tenant) == []


def problem(answer, status):
    """The problem document of an answer (ours or raw), checked for its form."""
    if isinstance(answer, tuple):
        got, kind, body = answer[0], answer[1]["content-type"], answer[2]
    else:
        got, kind, body = answer.status, answer.headers["Content-Type"], answer.body
    assert got == status, body
    assert kind == "application/problem+json"
    document = json.loads(body)
    assert document["status"] == status
    assert document["type"].startswith("/problems/")
    assert document["title"] and document["detail"] and document["instance"].startswith("/")
    return document


# ---- uploads that are taken

def test_upload_form(tenants):
    data = b"review_id\n1\n"
    answer = tenants.upload("client_b", ("reviews.csv", data))
    assert answer.status == 201
    entry = answer.json["files"][0]
    assert entry["name"] == "reviews.csv" and entry["size"] == len(data)
    assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    assert re.fullmatch(r"f\d+", entry["id"]) and entry["state"] in ("received", "staged", "assigned") and entry["status"]
    stored = tenants.data / "staging/client_b/.files" / entry["id"][1:]
    assert stored.read_bytes() == data and stored.stat().st_mode & 0o777 == 0o440
    page = tenants.get("/tenant/client_b").json
    assert page["tenant"] == "client_b" and page["next"] is None
    assert [f["id"] for f in page["files"]] == [entry["id"]]


def test_names_with_blanks_and_letters_simply_work(tenants):
    names = [ONU, "Übersicht – größe.csv", "日本語 ファイル.csv", "a'b&c;d=e%20f#g.csv", 'quo"ted.csv', "x" * 251 + ".csv"]
    answer = tenants.upload("client_a", *[(n.replace('"', "%22"), n.encode()) for n in names])
    assert answer.status == 201, answer
    assert [f["name"] for f in answer.json["files"]] == names
    for name in names:
        again = tenants.call("POST", "/v1/upload-file/client_a?name=" + urllib.parse.quote(name), name.encode())
        assert again.status == 200, again
    by_header = tenants.call("POST", "/upload-file/client_a", b"x",
                             headers={"X-File-Name": urllib.parse.quote("größer.csv")})
    assert by_header.status == 201 and by_header.json["files"][0]["name"] == "größer.csv"
    star = tenants.call("POST", "/upload-file/client_a", b"y", headers={
        "Content-Disposition": "attachment; filename=\"fallback.csv\"; filename*=UTF-8''na%C3%AFve%20plan.csv"})
    assert star.json["files"][0]["name"] == "naïve plan.csv"


def test_curl_forms_and_raw_bodies(tenants, tmp_path):
    file = tmp_path / ONU
    file.write_bytes(os.urandom(3_000_000))
    common = ["curl", "-sS", "-H", f"Authorization: Bearer {tenants.admin_token}"]
    target = f"{tenants.url}/upload-file/client_a"
    form = json.loads(subprocess.run([*common, "-F", f"file=@{file}", target], check=True, capture_output=True).stdout)
    assert form["files"][0]["name"] == ONU
    assert form["files"][0]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    raw = json.loads(subprocess.run([*common, "--data-binary", f"@{file}", target + "?name=" + urllib.parse.quote(ONU)],
                                    check=True, capture_output=True).stdout)
    assert raw["files"][0]["id"] == form["files"][0]["id"]
    chunked = json.loads(subprocess.run([*common, "-H", "Transfer-Encoding: chunked", "-T", "-", target + "?name=c.csv",
                                         "-X", "POST"], check=True, capture_output=True, input=b"1\n" * 500_000).stdout)
    assert chunked["files"][0]["size"] == 1_000_000


def test_a_repeat_is_200_with_the_same_id(tenants):
    first = tenants.upload("client_b", ("r.csv", b"1\n"))
    again = tenants.upload("client_b", ("r.csv", b"1\n"))
    assert (first.status, again.status) == (201, 200)
    assert first.json["files"][0]["id"] == again.json["files"][0]["id"]
    assert len(listing(tenants)) == 1


def test_other_content_under_a_staged_name_is_409(tenants):
    tenants.call("POST", "/v1/tenants/client_b/pause")
    first = tenants.upload("client_b", ("r.csv", b"1\n")).json["files"][0]
    conflict = problem(tenants.upload("client_b", ("r.csv", b"2\n")), 409)
    assert first["id"] in conflict["detail"] and first["id"] in conflict["hint"]
    assert tenants.call("DELETE", f"/v1/files/{first['id']}").status == 200
    assert tenants.upload("client_b", ("r.csv", b"2\n")).status == 201


def test_several_files_and_mixed_results(tenants):
    answer = tenants.upload("client_b", ("a.csv", b"1"), ("notes.txt", b"2"), ("b.csv", b"3"), ("../c.csv", b"4"))
    assert answer.status == 207
    entries = answer.json["files"]
    assert [f["http"] for f in entries] == [201, 415, 201, 400]
    assert [f["name"] for f in entries] == ["a.csv", "notes.txt", "b.csv", "../c.csv"] or \
        sorted(f["http"] for f in entries) == [201, 201, 400, 415]
    names = {f["name"]: f["state"] for f in listing(tenants)}
    assert names["notes.txt"] == "refused" and set(names) == {"a.csv", "b.csv", "notes.txt"}
    assert tenants.upload("client_b", ("a.csv", b"1"), ("b.csv", b"3")).status == 200
    assert tenants.upload("client_b", ("c.csv", b"1"), ("d.csv", b"3")).status == 201


def test_empty_file_and_empty_form(tenants):
    assert tenants.upload("client_b", ("empty.csv", b"")).json["files"][0]["size"] == 0
    boundary = "x"
    empty = tenants.call("POST", "/upload-file/client_b", b"--x--\r\n",
                         headers={"Content-Type": f"multipart/form-data; boundary={boundary}"})
    assert "no file" in problem(empty, 400)["detail"]
    field = b'--x\r\nContent-Disposition: form-data; name="comment"\r\n\r\nhello\r\n--x--\r\n'
    problem(tenants.call("POST", "/upload-file/client_b", field,
                         headers={"Content-Type": "multipart/form-data; boundary=x"}), 400)
    problem(tenants.call("POST", "/upload-file/client_b", b"data"), 400)


def test_two_uploads_of_one_name_at_once(tenants):
    results = []

    def send(data):
        results.append(tenants.upload("client_b", ("same.csv", data)).status)

    threads = [threading.Thread(target=send, args=(b"same content",)) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert sorted(results) == [200] * 7 + [201]
    assert len(listing(tenants)) == 1
    tenants.call("POST", "/v1/tenants/client_b/pause")
    results.clear()
    threads = [threading.Thread(target=lambda i=i: results.append(
        tenants.upload("client_b", ("other.csv", b"content %d" % i)).status)) for i in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert sorted(results) == [201] + [409] * 7
    assert not [n for n in originals(tenants) if not n.isdigit()]


def test_paused_tenant_takes_uploads(tenants):
    assert tenants.call("POST", "/v1/tenants/client_b/pause").json["paused"] is True
    assert tenants.upload("client_b", ("p.csv", b"1")).status == 201
    assert tenants.call("POST", "/v1/tenants/client_b/resume").json["paused"] is False


# ---- uploads that are not

@pytest.mark.parametrize("name", ["../x.csv", "a/b.csv", "a\\b.csv", ".hidden.csv", "..", ".", "a\tb.csv", "a\x7fb.csv",
                                  "a\x01.csv", "x" * 252 + ".csv", "a\u202eb.csv", "a\u0085b.csv", ""])
def test_bad_names_are_400(tenants, name):
    answer = tenants.call("POST", "/upload-file/client_b?name=" + urllib.parse.quote(name), b"1\n")
    problem(answer, 400)
    form = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n1\r\n--x--\r\n'.encode()
    problem(tenants.call("POST", "/upload-file/client_b", form,
                         headers={"Content-Type": "multipart/form-data; boundary=x"}), 400)
    assert nothing_left(tenants)


@pytest.mark.parametrize("name", [b"a\xff.csv", b"\xc0\xaf.csv", b"\xed\xa0\x80.csv", b"a\x00b.csv"])
def test_names_that_are_no_utf8_are_400(tenants, name):
    problem(tenants.call("POST", "/upload-file/client_b?name=" + urllib.parse.quote_from_bytes(name), b"1"), 400)
    form = b'--x\r\nContent-Disposition: form-data; name="f"; filename="' + name + b'"\r\n\r\n1\r\n--x--\r\n'
    problem(tenants.call("POST", "/upload-file/client_b", form,
                         headers={"Content-Type": "multipart/form-data; boundary=x"}), 400)
    assert nothing_left(tenants)


def test_unknown_type_is_415_and_on_record(tenants):
    answer = tenants.upload("client_b", ("report.pdf", b"%PDF"))
    document = problem(answer, 415)
    assert "report.pdf" in document["detail"] and "csv" in document["detail"]
    entry = listing(tenants)[0]
    assert entry["state"] == "refused" and "report.pdf" in entry["status"] and entry["name"] == "report.pdf"
    line = tenants.get(f"/v1/files/{entry['id']}").json
    assert line["events"][-1]["what"] == "refused"
    assert "upload refused" in tenants.log_text() and "report.pdf" in tenants.log_text()
    assert originals(tenants) == []


def declared(platform, n, path="/upload-file/client_b?name=big.csv", *headers):
    return head(platform, "POST", path, f"Content-Length: {n}", *headers)


MAX_B = 20 * 1048576


def test_too_big_is_told_before_the_body(tenants):
    answer = exchange(tenants, declared(tenants, MAX_B + 1))
    document = problem(answer, 413)
    assert str(MAX_B) in document["detail"] and "max_file_size_mb" in document["detail"]
    assert exchange(tenants, declared(tenants, MAX_B + 1, "/upload-file/client_b?name=big.csv",
                                      "Expect: 100-continue"))[0] == 413
    assert [f["state"] for f in listing(tenants)] == ["refused", "refused"]


def test_too_big_is_told_at_the_byte_when_chunked(tenants):
    raw = Raw(tenants)
    raw.send(head(tenants, "POST", "/upload-file/client_b?name=big.csv", "Transfer-Encoding: chunked"))
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    for _ in range(20):
        raw.send(chunk)
    raw.send(b"1\r\nx\r\n")  # one byte more than allowed, and no end
    problem(raw.answer(), 413)
    raw.close()
    wait_until(lambda: originals(tenants) == [], 10, "removing the incomplete file")


def test_exactly_the_limit_is_taken(tenants):
    assert tenants.call("POST", "/upload-file/client_b?name=full.csv", b"x" * MAX_B).status == 201


@pytest.mark.parametrize("how", ["form", "raw", "chunked"])
def test_curl_shows_the_reason_of_413(tenants, tmp_path, how):
    file = tmp_path / "big.csv"
    with open(file, "wb") as f:
        f.truncate(60 * 1048576)
    arguments = {"form": ["-F", f"file=@{file}"], "raw": ["--data-binary", f"@{file}"],
                 "chunked": ["-X", "POST", "-H", "Transfer-Encoding: chunked", "-T", str(file)]}[how]
    for expect in ([], ["-H", "Expect:"]):
        done = subprocess.run(["curl", "-sS", "-H", f"Authorization: Bearer {tenants.admin_token}", *arguments, *expect,
                               f"{tenants.url}/upload-file/client_b?name=big.csv"], capture_output=True)
        assert json.loads(done.stdout)["status"] == 413, (done.stdout, done.stderr)
    wait_until(lambda: originals(tenants) == [], 10, "removing the incomplete file")


def test_cut_bodies_leave_nothing(tenants):
    form = multipart([("a.csv", b"1\n" * 1000), ("b.csv", b"2\n" * 1000)])
    kind, body = form
    start = head(tenants, "POST", "/upload-file/client_b", f"Content-Type: {kind}", f"Content-Length: {len(body)}")
    for cut in (0, 1, 60, 150, len(body) // 2, len(body) - 40, len(body) - 2):
        answer = exchange(tenants, start + body[:cut], half_close=True)
        assert answer is not None, cut
        problem(answer, 400)
    raw = head(tenants, "POST", "/upload-file/client_b?name=r.csv", "Content-Length: 100000")
    problem(exchange(tenants, raw + b"x" * 99999, half_close=True), 400)
    gone = Raw(tenants).send(raw + b"x" * 5000)
    gone.close()
    chunked = head(tenants, "POST", "/upload-file/client_b?name=r.csv", "Transfer-Encoding: chunked")
    problem(exchange(tenants, chunked + b"5\r\nabcde\r\n", half_close=True), 400)
    assert nothing_left(tenants)


@pytest.mark.parametrize("body", [
    b"", b"--x", b"--x\r\n", b"no boundary at all\r\n", b"--y\r\n\r\n--y--\r\n",
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.csv"\r\n\r\ndata',
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.csv"\r\n\r\ndata\r\n--x',
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.csv"\r\n\r\ndata\r\n--x-',
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.csv"\r\n\r\ndata\r\n--xyz\r\n',
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.csv\r\n\r\ndata\r\n--x--\r\n',
    b'--x\r\nContent-Type: text/csv\r\n\r\ndata\r\n--x--\r\n',
    b'--x\r\nContent-Disposition: attachment; filename="a.csv"\r\n\r\ndata\r\n--x--\r\n',
    b'--x\r\nno colon here\r\n\r\ndata\r\n--x--\r\n',
    b'--x\r\nContent-Disposition: form-data; filename="a.csv"\nX: y\n\ndata\n--x--\n',
    b'--x\r\n' + b"A: " + b"b" * 20000 + b"\r\n\r\ndata\r\n--x--\r\n",
    b'--x\r\nContent-Disposition: form-data; filename*=UTF-8\'\'%zz.csv\r\n\r\ndata\r\n--x--\r\n',
])
def test_broken_forms_leave_nothing(tenants, body):
    whole = b'--x\r\nContent-Disposition: form-data; name="f"; filename="good.csv"\r\n\r\n1\r\n'
    for data in (body, whole + body):
        answer = tenants.call("POST", "/upload-file/client_b", data,
                              headers={"Content-Type": "multipart/form-data; boundary=x"})
        if data == whole + body and body == b"":
            pass
        problem(answer, 400)
    assert nothing_left(tenants)


def test_form_without_boundary(tenants):
    for kind in ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "x" * 71):
        problem(tenants.call("POST", "/upload-file/client_b", b"--x--\r\n", headers={"Content-Type": kind}), 400)


def test_a_file_that_looks_like_boundaries(tenants):
    data = b"\r\n--x\r\n--xx\r\r\n-\r\n--\r\n--xy--\r\n" * 5000 + b"\r\n--"
    body = b'preamble\r\n--bound\r\nContent-Disposition: form-data; name=f; filename=tricky.csv\r\n\r\n' + data + \
        b"\r\n--bound--\r\nepilogue"
    answer = tenants.call("POST", "/upload-file/client_b", body,
                          headers={"Content-Type": 'multipart/form-data; boundary="bound"'})
    assert answer.status == 201 and answer.json["files"][0]["sha256"] == hashlib.sha256(data).hexdigest()


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


def test_more_uploads_than_allowed_get_503(stopped_platform):
    p = stopped_platform.start("--set", "upload.max_parallel=2")
    for tenant in ("client_a", "client_b"):
        p.cli("tenant", "add", ROOT / "examples" / tenant)
    held = [Raw(p).send(head(p, "POST", f"/upload-file/client_b?name=h{i}.csv", "Content-Length: 10") + b"1") for i in range(2)]
    wait_until(lambda: len([n for n in originals(p) if n.startswith("tmp-")]) == 2, 10, "two uploads under way")
    busy = p.upload("client_b", ("x.csv", b"1"))
    problem(busy, 503)
    assert busy.headers["Retry-After"]
    for h in held:
        h.send(b"123456789")
        assert h.answer()[0] == 201
    assert p.upload("client_b", ("x.csv", b"1")).status == 201


def test_full_disk_is_507(stopped_platform):
    p = stopped_platform.start(env={"MYSIMBDP_FAULT": "upload.write=enospc@2"})
    p.cli("tenant", "add", ROOT / "examples" / "client_a")
    problem(p.call("POST", "/upload-file/client_a?name=a.csv", b"x" * 1_000_000), 507)
    assert nothing_left(p, "client_a")
    assert p.call("POST", "/upload-file/client_a?name=a.csv", b"x" * 1_000_000).status == 201


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_small_disk(stopped_platform):
    p = stopped_platform
    p.data.mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", p.data], capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        p.start()
        p.cli("tenant", "add", ROOT / "examples" / "client_a")
        assert p.call("POST", "/upload-file/client_a?name=small.csv", b"x" * 1_000_000).status == 201
        problem(p.call("POST", "/upload-file/client_a?name=declared.csv", b"x" * 30_000_000), 507)
        kind, body = multipart([("undeclared.csv", b"x" * 30_000_000)])
        problem(p.call("POST", "/upload-file/client_a", body, headers={"Content-Type": kind}), 507)
        assert originals(p, "client_a") == ["1"]
        assert p.call("POST", "/upload-file/client_a?name=small2.csv", b"x" * 1000).status == 201
        p.stop()
    finally:
        p.end()
        subprocess.run(["umount", "-l", p.data])


# ---- never lost, never doubled

@pytest.mark.parametrize("point", ["upload.write", "upload.sync", "upload.commit.before", "upload.commit.after",
                                   "upload.rename.after"])
def test_kill_during_an_upload(stopped_platform, point):
    p = stopped_platform.start(env={"MYSIMBDP_FAULT": f"{point}=kill"})
    p.cli("tenant", "add", ROOT / "examples" / "client_b")
    data = b"1\n" * 200_000
    with pytest.raises(OSError):
        p.upload("client_b", ("k.csv", data))
    p.process.wait(20)
    p.start()
    files = [f for f in listing(p)]
    assert not [n for n in originals(p) if not n.isdigit()]
    if point in ("upload.commit.after", "upload.rename.after"):
        assert [f["name"] for f in files] == ["k.csv"]
        assert (p.data / "staging/client_b/.files" / files[0]["id"][1:]).read_bytes() == data
    else:
        assert files == [] and originals(p) == []
    again = p.upload("client_b", ("k.csv", data))
    assert again.status == (200 if files else 201)
    assert len(listing(p)) == 1


def test_uploads_under_way_end_before_the_server(tenants):
    raw = Raw(tenants)
    raw.send(head(tenants, "POST", "/upload-file/client_b?name=slow.csv", "Content-Length: 10") + b"12345")
    wait_until(lambda: [n for n in originals(tenants) if n.startswith("tmp-")], 10, "the upload being under way")
    tenants.process.send_signal(signal.SIGTERM)
    raw.send(b"67890")
    assert raw.answer()[0] == 201
    assert tenants.process.wait(30 * SLOW) == 0


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


def samples(text):
    values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
    return values


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


# ---- the client verbs

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


def test_memory_is_flat(tenants, tmp_path):
    """Peak memory of the server after 8 uploads of 45 MiB at once: bodies stream to disk."""
    status = Path(f"/proc/{tenants.process.pid}/status")

    def peak():
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text()).group(1)) // 1024

    before = peak()
    data = b"x" * (45 << 20)
    threads = [threading.Thread(target=lambda i=i: tenants.call("POST", f"/upload-file/client_a?name=m{i}.csv", data))
               for i in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len([n for n in originals(tenants, "client_a") if n.isdigit()]) == 8
    assert peak() - before < 24 * SLOW


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
    assert started.status == 202 and started.json["started"]
    run = started.json["run"]
    entry = tenants.wait_for_file(id, "delivered")
    assert entry["run"] == run
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
