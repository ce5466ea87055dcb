"""Raw sockets and checks that the tests of the REST API share.

Raw requests are written to a socket by hand, so that what is tested is the server and not a client's good manners.
"""

import json
import socket
import urllib.parse

from conftest import SLOW, wait_until

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


def samples(text):
    values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
    return values
