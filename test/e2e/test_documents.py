"""Tenants' documents and settings at the command line: `tenant check` and `config`."""

import json
import re
import shutil

import jsonschema

from conftest import EXAMPLES, ROOT, run


def test_both_sample_tenants_are_taken_as_they_are():
    for tenant, warnings in (("client_a", []), ("client_b", ["$.resources.limits.cpu"])):
        done = run("tenant", "check", EXAMPLES / tenant, "--json")
        answer = json.loads(done.stdout)
        assert answer["valid"] and answer["client"] == tenant and answer["errors"] == 0
        assert [p["path"] for p in answer["problems"]] == warnings
    people = run("tenant", "check", EXAMPLES / "client_b").stdout
    assert "service-agreement.json:12:14: warning" in people
    assert "1073741824 cores" in people and 'did you mean "1"?' in people


def test_all_problems_of_both_documents_at_once(tmp_path):
    (tmp_path / "data-file.json").write_text("""{
  "name": "n", "file_type": "csv", "key_space": "k", "csv.first.row.as.header": "yes",
  "schema": {"type": "record", "name": "t", "fields": [{"name": "id", "type": "integer"}]},
  "primary_key": ["ID"], "csv.seperator.char": ";"
}""")
    (tmp_path / "service-agreement.json").write_text('{"client": "A", "schedule": "* * * *",\n "encryption": {}}')
    answer = json.loads(run("tenant", "check", tmp_path, "--json", code=78).stdout)
    errors = {(p["document"].rsplit("/", 1)[-1], p["path"], p["line"]) for p in answer["problems"] if p["level"] == "error"}
    assert errors == {
        ("data-file.json", "$['csv.first.row.as.header']", 2), ("data-file.json", "$.schema.fields[0].type", 3),
        ("data-file.json", "$.primary_key[0]", 4), ("data-file.json", "$['csv.seperator.char']", 4),
        ("service-agreement.json", "$.client", 1), ("service-agreement.json", "$.schedule", 1),
        ("service-agreement.json", "$.encryption", 2)}
    assert all(p["found"] and p["allowed"] for p in answer["problems"])
    assert not answer["valid"] and answer["errors"] == len(errors)
    suggestions = " ".join(p["suggestion"] for p in answer["problems"])
    for wanted in ('did you mean "int"?', 'did you mean "id"?', 'did you mean "csv.separator.char"?', 'did you mean "a"?'):
        assert wanted in suggestions
    assert any("known, not available yet" in p["found"] for p in answer["problems"])


def test_quality_rules_are_checked_too(tmp_path):
    shutil.copy(EXAMPLES / "client_a/data-file.json", tmp_path)
    (tmp_path / "service-agreement.json").write_text('{"client": "a", "quality": {"rulez": []}}')
    answer = json.loads(run("tenant", "check", tmp_path, "--json", code=78).stdout)
    assert any(p["path"].startswith("$.quality") for p in answer["problems"] if p["level"] == "error")


def test_a_missing_document_hides_nothing_of_the_other(tmp_path):
    (tmp_path / "service-agreement.json").write_text('{"client": "-"}')
    done = run("tenant", "check", tmp_path, code=78)
    assert "data-file.json" in done.stdout and "$.client" in done.stdout


def test_settings_show_their_origin(tmp_path):
    (tmp_path / "m.yaml").write_text("api:\n  port: 1001\nlog.level: debug\n")
    done = run("config", "show", "--config-file", tmp_path / "m.yaml", "--set", "api.listen=::1", "--json",
               env={"MYSIMBDP_TOKEN": "hunter2"})
    settings = {s["name"]: s for s in json.loads(done.stdout)["settings"]}
    assert (settings["api.port"]["number"], settings["api.port"]["origin"]) == (1001, f"{tmp_path}/m.yaml:2")
    assert settings["log.level"]["origin"] == f"{tmp_path}/m.yaml:3"
    assert settings["api.listen"]["origin"] == "flag"
    assert (settings["token"]["value"], settings["token"]["origin"]) == ("***", "environment MYSIMBDP_TOKEN")
    assert settings["shutdown.grace"]["origin"] == "default"
    assert "hunter2" not in done.stdout + run("config", "show", env={"MYSIMBDP_TOKEN": "hunter2"}).stdout


def test_mistakes_in_settings(tmp_path):
    (tmp_path / "m.yaml").write_text("api:\n  prot: 1\n")
    done = run("config", "show", "--config-file", tmp_path / "m.yaml", code=78)
    assert "m.yaml:2" in done.stderr and 'did you mean "api.port"?' in done.stderr
    assert 'did you mean "api.port"?' in run("config", "show", "--set", "api.prot=1", code=64).stderr


def test_the_printed_reference_is_the_one_in_docs(tmp_path):
    assert run("config", "docs").stdout == (ROOT / "docs/configuration.md").read_text()
    (tmp_path / "t.yaml").write_text(run("config", "template").stdout)
    assert json.loads(run("config", "show", "--json", "--config-file", tmp_path / "t.yaml").stdout)["file"]


def test_every_setting_is_read_by_something():
    code = "".join(p.read_text() for p in (ROOT / "src").rglob("*.[ch]") if p.name != "settings.c")
    names = [s["name"] for s in json.loads(run("config", "show", "--json").stdout)["settings"]]
    assert len(names) > 20
    assert [n for n in names if f'"{n}"' not in code] == []


def test_every_documented_example_is_accepted(tmp_path):
    """The JSON examples of docs/documents.md are whole documents that `tenant check` takes."""
    text = (ROOT / "docs/documents.md").read_text()
    examples = re.findall(r"```json\n(.*?)```", text, re.S)
    data = [e for e in examples if '"key_space"' in e]
    agreements = [e for e in examples if '"client"' in e]
    assert len(data) >= 2 and len(agreements) >= 2
    for i, d in enumerate(data):
        (tmp_path / "data-file.json").write_text(d)
        (tmp_path / "service-agreement.json").write_text(agreements[min(i, len(agreements) - 1)])
        run("tenant", "check", tmp_path)
    for a in agreements:
        (tmp_path / "data-file.json").write_text(data[-1])
        (tmp_path / "service-agreement.json").write_text(a)
        run("tenant", "check", tmp_path)


def test_every_key_is_documented(tmp_path):
    """The keys that the program names when it finds an unknown one are all in docs/documents.md."""
    text = (ROOT / "docs/documents.md").read_text()
    (tmp_path / "data-file.json").write_text('{"?": 1, "schema": {"type": "record", "name": "t", "fields": []}}')
    (tmp_path / "service-agreement.json").write_text(
        '{"client": "a", "?": 1, "apps": [{"name": "x", "?": 1}], "resources": {"requests": {"?": 1}}}')
    problems = json.loads(run("tenant", "check", tmp_path, "--json", code=78).stdout)["problems"]
    listed = [p["allowed"] for p in problems if p["found"].startswith("unknown key")]
    assert len(listed) == 4
    later = {"ephemeral-storage", "storage"}
    for keys in listed:
        for key in keys.removeprefix("one of the keys ").split(", "):
            assert key in later or f"`{key}`" in text, key


def test_json_schemas_refuse_nothing_that_the_program_takes():
    """Over all case files: what is taken is valid by the JSON Schema, and both know the same keys."""
    taken = 0
    for kind, name in (("data", "data-file"), ("agreement", "service-agreement")):
        schema = json.loads((ROOT / f"docs/{name}.schema.json").read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        for case in sorted((ROOT / "test/cases/documents").glob(f"{kind}-*.case")):
            _, document, answer = case.read_text().split("\n---\n")
            if ": error: " not in answer:
                taken += 1
                assert [e.message for e in validator.iter_errors(json.loads(document))] == [], case.name
        for tenant in ("client_a", "client_b"):
            validator.validate(json.loads((EXAMPLES / tenant / f"{name}.json").read_text()))
    assert taken > 15


def test_json_schemas_know_the_same_keys(tmp_path):
    (tmp_path / "data-file.json").write_text('{"?": 1}')
    (tmp_path / "service-agreement.json").write_text('{"?": 1, "apps": [{"name": "x", "?": 1}]}')
    problems = json.loads(run("tenant", "check", tmp_path, "--json", code=78).stdout)["problems"]
    known = {(p["document"].rsplit("/", 1)[-1], p["path"].split("['")[0]):
             set(p["allowed"].removeprefix("one of the keys ").split(", "))
             for p in problems if p["found"].startswith("unknown key")}
    data = json.loads((ROOT / "docs/data-file.schema.json").read_text())
    assert set(data["properties"]) == known["data-file.json", "$"]
    agreement = json.loads((ROOT / "docs/service-agreement.schema.json").read_text())
    later = {"data_files", "encryption", "alerts", "quota", "report", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"}
    assert set(agreement["properties"]) == known["service-agreement.json", "$"] - later
    later = {"image", "replicas", "data", "after", "settle_ms", "keeps_inputs", "delivery"}
    assert set(agreement["$defs"]["app"]["properties"]) == known["service-agreement.json", "$.apps[0]"] - later
