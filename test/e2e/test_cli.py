"""Habits that every verb has: help, --json, exit codes, data on stdout and the rest on stderr, no colour in pipes.

The verbs are taken from `mysimbdp help`, so a new one is tested by itself.
"""

import json
import os
import pty
import re
import subprocess

import pytest

from conftest import BIN, BUILD, EXAMPLES, ROOT, run


def verbs():
    try:
        text = subprocess.run([BIN, "help"], capture_output=True, text=True, timeout=10).stdout
    except OSError:
        return []
    return re.findall(r"^  ([a-z]+) ", text, flags=re.M)


EXPECTED = {"serve", "upload", "files", "file", "status", "tenant", "schedule", "run", "runs", "quarantine", "query",
            "ledger", "check", "ingest", "infer", "config", "version"}


def test_all_verbs_are_there():
    assert EXPECTED - set(verbs()) == set()


@pytest.mark.parametrize("verb", verbs())
def test_help(verb):
    text = run(verb, "--help").stdout
    assert f"usage: mysimbdp {verb}" in text
    assert "for every verb:" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 160
    assert run("help", verb).stdout == text
    assert run(verb, "-h").stdout == text


@pytest.mark.parametrize("verb", verbs())
def test_wrong_usage_is_64_and_names_what_is_wrong(verb):
    done = run(verb, "--no-such-option", code=64)
    assert done.stdout == ""
    assert "no-such-option" in done.stderr


@pytest.mark.parametrize("page", ["cli.md", "configuration.md", "mysimbdp.1"])
def test_reference_pages_are_those_of_the_program(page, tmp_path):
    subprocess.run([ROOT / "tools/docs", BUILD, tmp_path], check=True)
    assert (tmp_path / page).read_text() == (ROOT / "docs" / page).read_text(), "run `make docs`"


def test_unknown_verb_suggests_the_nearest():
    done = run("quarantin", code=64)
    assert '"quarantin" is no verb; did you mean "quarantine"?' in done.stderr
    assert done.stdout == ""


def test_no_verb_shows_help_on_stderr():
    done = run(code=64)
    assert done.stdout == "" and "usage: mysimbdp" in done.stderr


def test_version():
    assert re.match(r"mysimbdp \d+\.\d+\.\d+", run("version").stdout)
    assert json.loads(run("version", "--json").stdout)["version"]
    assert run("--version").stdout == run("version").stdout


CLIENT_VERBS = [("files",), ("status",), ("tenant", "list"), ("runs",), ("quarantine", "list", "client_b")]


@pytest.mark.parametrize("verb", CLIENT_VERBS, ids=" ".join)
def test_without_a_platform_clients_say_what_to_do(verb, tmp_path):
    done = run(*verb, code=3, env={"MYSIMBDP_URL": "http://127.0.0.1:9", "MYSIMBDP_DATA": str(tmp_path)})
    assert "127.0.0.1:9" in done.stderr
    assert "serve" in done.stderr
    assert done.stdout == ""


def test_config_shows_where_values_come_from(tmp_path):
    (tmp_path / "mysimbdp.yaml").write_text("log:\n  level: debug\n")
    done = run("config", "show", "--json", "--config-file", tmp_path / "mysimbdp.yaml", "--set", "api.port=4321",
               env={"MYSIMBDP_LOG_FORMAT": "json"})
    text = json.dumps(json.loads(done.stdout))
    assert "mysimbdp.yaml:2" in text
    assert "MYSIMBDP_LOG_FORMAT" in text
    assert '"4321"' in text or "4321" in text
    unknown = run("config", "show", "--set", "api.prot=1", code=None)
    assert unknown.returncode in (64, 78)
    assert "api.port" in unknown.stderr


JSON_VERBS = [
    ("files",), ("files", "client_b"), ("status",), ("tenant", "list"), ("tenant", "show", "client_a"), ("runs",),
    ("quarantine", "list", "client_b"), ("schedule", "preview", "client_b"), ("ledger", "check", "client_b"), ("config", "show"),
    ("query", "client_b", "SELECT 1 AS one"), ("runs", "show", "r1"),
]


def test_json_is_one_value_and_nothing_else(tenants):
    tenants.upload("client_b", ("reviews.csv", (EXAMPLES / "client_b/reviews-sample.csv").read_bytes()))
    file = tenants.get("/tenant/client_b").json["files"][0]["id"]
    tenants.cli("run", "client_b")
    tenants.wait_for_file(file, "delivered")
    for verb in [*JSON_VERBS, ("file", file)]:
        done = tenants.cli(*verb, "--json")
        json.loads(done.stdout)
        assert "\x1b" not in done.stdout + done.stderr, verb
        plain = tenants.cli(*verb)
        assert plain.stdout, verb
        assert "\x1b" not in plain.stdout + plain.stderr, verb


def in_terminal(*arguments, env):
    """stdout and stderr of the program on a terminal of its own."""
    main, side = pty.openpty()
    process = subprocess.Popen([BIN, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=side, stderr=side,
                               env=os.environ | {"TERM": "xterm-256color"} | env)
    os.close(side)
    out = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    os.close(main)
    process.wait(20)
    return out.decode()


def test_colour_on_a_terminal_only():
    env = {"NO_COLOR": ""}
    env = {k: v for k, v in env.items() if v}
    assert "\x1b[" in in_terminal("help", env=env)
    arguments = ("check", "--config", EXAMPLES / "client_b/data-file.json", EXAMPLES / "client_b/reviews-sample.csv")
    assert "\x1b[" in in_terminal(*arguments, env=env)
    assert "\x1b[" not in in_terminal(*arguments, "--color", "never", env=env)
    piped = run(*arguments, code=1)
    assert "\x1b" not in piped.stdout + piped.stderr


def test_check_exit_codes(tmp_path):
    config = EXAMPLES / "client_b/data-file.json"
    sample = EXAMPLES / "client_b/reviews-sample.csv"
    good = tmp_path / "good.csv"
    good.write_bytes(b"\r\n".join(sample.read_bytes().split(b"\r\n")[:2]) + b"\r\n")
    assert run("check", "--config", config, good).returncode == 0
    assert run("check", "--config", config, sample, code=1)
    no_key = tmp_path / "no-key.csv"
    no_key.write_bytes(good.read_bytes().replace(b"review_id", b"reviewed"))
    assert '"review_id"' in run("check", "--config", config, no_key, code=2).stdout
    run("check", "--config", config, tmp_path / "not-there.csv", code=3)
    (tmp_path / "bad.json").write_text('{"name": "x", "file_typ": "csv"}')
    done = run("check", "--config", tmp_path / "bad.json", good, code=78)
    assert "file_type" in done.stderr
    assert "key_space" in done.stderr, "all problems at once"
    run("check", good, code=64)


def test_check_json_shape():
    done = run("check", "--json", "--config", EXAMPLES / "client_b/data-file.json",
               EXAMPLES / "client_b/reviews-sample.csv", code=1)
    answer = json.loads(done.stdout)
    assert {"records", "accepted", "rejected", "bytes", "seconds", "defects", "files"} <= set(answer)
    assert (answer["records"], answer["accepted"], answer["rejected"]) == (6, 3, 3)
    assert sum(answer["defects"].values()) == 3
    [file] = answer["files"]
    assert file["file"].endswith("reviews-sample.csv")
    assert {"state", "already", "records", "accepted", "rejected", "defects"} <= set(file)


def test_stdin_and_several_files():
    sample = (EXAMPLES / "client_b/reviews-sample.csv").read_bytes()
    answer = json.loads(run("check", "--json", "--config", EXAMPLES / "client_b/data-file.json", "-",
                            EXAMPLES / "client_b/reviews-sample.csv", stdin=sample, code=1).stdout)
    assert answer["records"] == 12 and len(answer["files"]) == 2
