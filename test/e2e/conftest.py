"""What the end-to-end tests share: the built program, a served platform with its tenants, a REST client, and readers
that are not ours (Python's csv and sqlite3).

No sleeps: `wait_until` polls with a deadline. Every platform gets its own data directory and a free port, and is ended
with its whole process group when its test ends.
"""

import csv
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("MYSIMBDP_BUILD", ROOT / "build")).resolve()
BIN = Path(os.environ.get("MYSIMBDP_BIN", BUILD / "mysimbdp")).resolve()
GEN = BUILD / "tools/gen/mysimbdp-gen"
EXAMPLES = ROOT / "examples"
SLOW = 4 if "asan" in BUILD.name else 1  # sanitised programs get longer deadlines


def wait_until(condition, deadline=20.0, what="the condition"):
    """The first true value of condition(), polled; fails the test after deadline seconds."""
    end = time.monotonic() + deadline * SLOW
    pause = 0.005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"{what} did not happen within {deadline * SLOW:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def run(*arguments, code=0, env=None, stdin=None, timeout=60):
    """Run the program; code is the exit code expected (None: any)."""
    full = {k: v for k, v in os.environ.items() if not k.startswith("MYSIMBDP_")}
    full.update(env or {})
    done = subprocess.run([BIN, *map(str, arguments)], env=full, input=stdin, capture_output=True,
                          timeout=timeout * SLOW, stdin=None if stdin is not None else subprocess.DEVNULL)
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    if code is not None:
        assert done.returncode == code, (
            f"mysimbdp {' '.join(map(str, arguments))}: exit {done.returncode}, not {code}\n"
            f"stdout: {done.stdout[-2000:]}\nstderr: {done.stderr[-4000:]}")
    return done


def generate(tenant, out=None, **options):
    """Data of a sample tenant's shape (tools/gen): bytes, or files in the directory `out`."""
    arguments = [GEN, tenant]
    for name, value in options.items():
        arguments += ["--" + name.replace("_", "-"), str(value)]
    if out:
        arguments += ["--out", out]
    return subprocess.run(arguments, check=True, stdout=subprocess.PIPE).stdout


def records(data):
    """The records of CSV bytes, read by Python's csv module, header first."""
    return list(csv.reader(data.decode().splitlines(keepends=True)))


def select(db, sql, *parameters):
    """Rows of a SELECT by Python's sqlite3, read-only."""
    with sqlite3.connect(f"file:{urllib.parse.quote(str(db))}?mode=ro", uri=True, timeout=20) as connection:
        return connection.execute(sql, parameters).fetchall()


class Answer:
    """An HTTP answer: status, headers, body, and the body as JSON."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:600]!r}>"


def multipart(files):
    """(content type, body) of a multipart form with one or more (name, bytes)."""
    boundary = uuid.uuid4().hex
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: text/csv\r\n\r\n".encode() + data + b"\r\n"
        for name, data in files)
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


class Platform:
    """`mysimbdp serve` on a data directory of its own, and clients for it."""

    def __init__(self, directory):
        self.data = Path(directory) / "data"
        self.log = Path(directory) / "serve.log"
        self.process = None
        self.url = None
        self.admin_token = None

    def start(self, *arguments, env=None, ready=True, binary=BIN, user=None):
        full = {k: v for k, v in os.environ.items() if not k.startswith("MYSIMBDP_")}
        full.update(env or {})
        (self.data / "serve.json").unlink(missing_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [binary, "serve", "--data", self.data, "--set", "api.port=0", *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=full, start_new_session=True, user=user,
                group=user, extra_groups=None if user is None else [])
        if ready:
            wait_until(self._is_ready, 20, "serve being ready")
        return self

    def _is_ready(self):
        if self.process.poll() is not None:
            pytest.fail(f"serve ended with {self.process.returncode}:\n{self.log_text()[-4000:]}")
        try:
            self.url = json.loads((self.data / "serve.json").read_text())["url"]
            with urllib.request.urlopen(self.url + "/ready", timeout=2) as answer:
                ready = answer.status == 200
        except (OSError, ValueError, KeyError):
            return False
        token = self.data / "admin.token"
        self.admin_token = token.read_text().strip() if token.exists() else None
        return ready

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self, deadline=30):
        """SIGTERM and wait: the exit code."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(deadline * SLOW)
            except subprocess.TimeoutExpired:
                self.kill()
                pytest.fail(f"serve did not end within {deadline * SLOW} s of SIGTERM")
        return self.process.returncode if self.process else None

    def kill(self):
        """SIGKILL to serve alone, as a crash would."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)

    def end(self):
        """Whatever is left of it, at the end of a test."""
        if self.process:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(20)
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def call(self, method, path, body=None, token=..., headers=None):
        """One HTTP request; a dict or list body is sent as JSON. token None: none is sent."""
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        token = self.admin_token if token is ... else token
        if token:
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30 * SLOW) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as problem:
            return Answer(problem.code, problem.headers, problem.read())

    def get(self, path, **options):
        return self.call("GET", path, **options)

    def upload(self, tenant, *files, **options):
        """POST /upload-file/{tenant} of (name, bytes)..."""
        kind, body = multipart(files)
        return self.call("POST", f"/upload-file/{tenant}", body, headers={"Content-Type": kind}, **options)

    def cli(self, *arguments, **options):
        """A verb of the program against this platform."""
        env = {"MYSIMBDP_URL": self.url or "", "MYSIMBDP_DATA": str(self.data)} | options.pop("env", {})
        return run(*arguments, env=env, **options)

    def file_state(self, id):
        return self.get(f"/v1/files/{id}").json["state"]

    def wait_for_file(self, id, *states, deadline=40):
        """Until the file is in one of the states; its entry."""
        seen = {}

        def reached():
            seen.update(self.get(f"/v1/files/{id}").json)
            return seen["state"] in states

        try:
            wait_until(reached, deadline, f"file {id} being {' or '.join(states)}")
        except pytest.fail.Exception as problem:
            pytest.fail(f"{problem}; it is {json.dumps(seen)[:1500]}\n{self.log_text()[-3000:]}")
        return seen

    def quarantine(self, tenant):
        """Its open entries, by REST."""
        return self.get(f"/v1/quarantine?tenant={tenant}&limit=1000").json["records"]

    def coredms(self, tenant, key_space):
        return self.data / "coredms" / tenant / f"{key_space}.db"


@pytest.fixture
def platform(tmp_path):
    """A served platform without tenants."""
    p = Platform(tmp_path)
    yield p.start()
    p.end()


@pytest.fixture
def stopped_platform(tmp_path):
    """A platform that the test starts itself."""
    p = Platform(tmp_path)
    yield p
    p.end()


@pytest.fixture
def tenants(platform):
    """A served platform with client_a and client_b, their documents exactly as they wrote them."""
    for tenant in ("client_a", "client_b"):
        platform.cli("tenant", "add", EXAMPLES / tenant)
    return platform


@pytest.fixture
def documents(tmp_path):
    """documents("client_b", data_file={...}, agreement={...}): a directory with a sample tenant's changed documents."""

    def make(tenant, data_file=None, agreement=None, name=None):
        target = tmp_path / (name or f"documents-{uuid.uuid4().hex[:8]}")
        shutil.copytree(EXAMPLES / tenant, target)
        for file, changes in (("data-file.json", data_file), ("service-agreement.json", agreement)):
            document = json.loads((target / file).read_text())
            for key, value in (changes or {}).items():
                if value is None:
                    document.pop(key, None)
                else:
                    document[key] = value
            (target / file).write_text(json.dumps(document, indent=2))
        return target

    return make


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
