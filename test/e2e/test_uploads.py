"""Uploads over real sockets: good ones, bad ones, cut and broken ones, and ones that a crash interrupts."""

import hashlib
import http.client
import json
import os
import random
import re
import signal
import subprocess
import threading
import urllib.parse
from pathlib import Path

import pytest

from conftest import ROOT, SLOW, multipart, wait_until
from rest import ONU, Raw, exchange, head, listing, nothing_left, originals, problem


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


def test_encoded_bodies_are_refused(tenants):
    problem(tenants.call("POST", "/upload-file/client_b?name=a.csv", b"x", headers={"Content-Encoding": "gzip"}), 415)
    assert originals(tenants) == []


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


@pytest.mark.parametrize("seed", range(3))
def test_kill_at_any_moment_under_load(stopped_platform, seed):
    """What was acknowledged is there with its content, what was not is there once or not at all."""
    p = stopped_platform.start()
    p.cli("tenant", "add", ROOT / "examples" / "client_a")
    chance = random.Random(seed)
    contents = {f"{i}.csv": b"%d,%d\n" % (i, seed) * chance.randrange(1, 20_000) for i in range(2000)}
    acknowledged, waiting = {}, list(contents)

    def send():
        while waiting:
            name = waiting.pop()
            try:
                answer = p.call("POST", f"/upload-file/client_a?name={name}", contents[name])
                if answer.status in (200, 201):
                    acknowledged[name] = answer.json["files"][0]["id"]
            except (OSError, http.client.HTTPException):
                return

    threads = [threading.Thread(target=send) for _ in range(6)]
    [t.start() for t in threads]
    target = chance.randrange(5, 120)
    wait_until(lambda: len(acknowledged) >= target, 30, f"{target} uploads")
    p.kill()
    [t.join() for t in threads]
    p.start()
    files, cursor = {}, ""
    while cursor is not None:
        page = p.get(f"/tenant/client_a?limit=1000&cursor={cursor}").json
        for f in page["files"]:
            assert f["name"] not in files, "one name, two files"
            files[f["name"]] = f
        cursor = page["next"]
    assert not [n for n in originals(p, "client_a") if not n.isdigit()]
    for name, id in acknowledged.items():
        assert files[name]["id"] == id
    for name, f in files.items():
        stored = p.data / "staging/client_a/.files" / f["id"][1:]
        assert stored.read_bytes() == contents[name] and f["state"] != "failed"
    for name in list(contents)[-150:]:
        again = p.call("POST", f"/upload-file/client_a?name={name}", contents[name])
        assert again.status == (200 if name in files else 201)


def test_uploads_under_way_end_before_the_server(tenants):
    raw = Raw(tenants)
    raw.send(head(tenants, "POST", "/upload-file/client_b?name=slow.csv", "Content-Length: 10") + b"12345")
    wait_until(lambda: [n for n in originals(tenants) if n.startswith("tmp-")], 10, "the upload being under way")
    tenants.process.send_signal(signal.SIGTERM)
    raw.send(b"67890")
    assert raw.answer()[0] == 201
    assert tenants.process.wait(30 * SLOW) == 0


# ---- limits

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
