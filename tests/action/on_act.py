"""Whole workflows, from a push to a published release; run by script/test-action, in this order.

What act and the stand-ins cannot prove is written in docs/action.md.
"""

import json

import pytest

TOKENS = (
    "GITHUB_TOKEN", "GH_TOKEN", "INPUT_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GITHUB_ENV", "GITHUB_PATH",
)  # fmt: skip


@pytest.fixture(scope="module")
def released(machine):
    """The tag v1 has been pushed."""
    return machine.push(
        "refs/tags/v1",
        "release.yml",
        GH_TOKEN=machine.fake.TOKEN,
        AWS_ACCESS_KEY_ID="stand-in",
        ACTIONS_ID_TOKEN_REQUEST_TOKEN="stand-in",
    )


def test_a_tag_becomes_a_published_release(machine, released, digests):
    assert released.code == 0
    assert released.results("Plan") == ["success"]
    assert len(released.results("Convert")) == len(released.results("Validate")) == 2
    assert set(released.jobs.values()) == {"success"}
    files = machine.release("v1")
    sums = dict(reversed(line.split("  ")) for line in files["SHA256SUMS"].decode().splitlines())
    said = digests(files)
    assert {name: said[name] for name in sums} == sums
    assert {"digits.mlmodel", "digits.mlpackage.zip", "digits.labels.txt", "spy.mlmodel", "build.json"} <= set(files)
    assert set(files) - set(sums) == {"SHA256SUMS", "build.json", "report.md"}  # these two tell times
    assert (machine.stand_ins / "attested").read_bytes() == files["SHA256SUMS"]


def test_core_ml_has_answered_for_every_file(machine, released):
    records = [json.loads(p.read_text()) for p in (machine.stand_ins / "artifacts").glob("validation-*/*.json")]
    files = {file["file"].split("/")[-1] for record in records for file in record["files"]}
    assert files == {"digits.mlmodel", "digits.mlpackage.zip", "spy.mlmodel"}
    assert {record["engine"] for record in records} == {"coreml"}


def test_xcode_has_compiled_every_file_for_the_jobs_artifact(machine, released):
    records = [json.loads(p.read_text()) for p in (machine.stand_ins / "artifacts").glob("validation-*/*.json")]
    made = {a["path"] for record in records for compiled in record["compiled"] for a in compiled["artifacts"]}
    kept = (machine.stand_ins / "artifacts").glob("xcode-*/**/*.*")
    assert {"/".join(path.parts[-3:]) for path in kept if path.is_file()} == made
    assert {"digits/mlpackage/digits.mlmodelc.zip", "digits/mlmodel/digits.swift"} <= made
    assert {seen["model"] for record in records for seen in record["vision"]} >= {"digits"}


def test_the_code_of_a_model_sees_no_token(machine, released):
    seen = machine.spied()
    assert seen
    for process in seen:
        for environment in (process["now"], process["started"]):
            assert not {name for name in TOKENS if environment.get(name)}
            assert machine.fake.TOKEN not in json.dumps(environment)
        assert process["einops"] == "0.8.1"  # of the user's requirements


def test_the_outputs_and_the_summary_say_what_came_of_it(machine, released):
    outputs = machine.stood("outputs.json")
    (release,) = [r for r in machine.github.releases.values() if r["tag_name"] == "v1"]
    assert outputs["release-url"].endswith("/v1")
    assert sorted(json.loads(outputs["changed"])) == ["digits", "spy"]
    assert json.loads(outputs["failed"]) == []
    assert "digits" in released.summaries
    assert "spy" in released.summaries
    assert outputs["release-url"] in released.summaries
    assert released.errors == set()
    assert release["tag_name"] == "v1"


def test_a_second_run_uploads_nothing_and_converts_nothing(machine, released):
    uploads, files = machine.github.count(r"POST .*/assets"), machine.release("v1")
    again = machine.push("refs/tags/v1", "release.yml")
    assert again.code == 0
    assert machine.github.count(r"POST .*/assets") == uploads
    assert machine.release("v1") == files
    assert json.loads(machine.stood("outputs.json")["changed"]) == []
    assert machine.spied() == []


def test_what_core_ml_refuses_is_not_published(machine):
    writes, workflow = machine.github.writes(), ".github/workflows/release.yml"
    machine.change(workflow, 'shards: "2"', 'shards: "3"')  # one more than there are models
    machine.commit("Want three machines")
    run = machine.push("refs/tags/v2", "release.yml", STAND_IN_FAULTS='{"digits.mlpackage": "refuse"}')
    machine.change(workflow, 'shards: "3"', 'shards: "2"')
    machine.commit("Two are enough")
    assert run.code != 0
    assert len(run.results("Validate")) == 3
    assert [job for job in run.failed_in if not job.startswith("Validate digits-")] == []
    assert run.results("Publish") in ([], ["skipped"])
    assert machine.github.writes() == writes
    assert any(file == "models.yml" and line == "4" and "Core ML" in said for _, file, line, said in run.errors)


def test_a_failing_model_is_annotated_and_nothing_is_published(machine):
    writes = machine.github.writes()
    machine.change("spy.py", "return nn.Sequential(", "raise ValueError('no weights today')\n    return nn.Sequential(")
    machine.commit("Lose the weights")
    run = machine.push("refs/tags/v3", "release.yml")
    machine.change("spy.py", "raise ValueError('no weights today')\n    ", "")
    machine.commit("Find the weights")
    assert run.code != 0
    assert [job for job in run.failed_in if not job.startswith("Convert spy-")] == []
    assert "digits: passed" in run.log
    assert run.results("Publish") in ([], ["skipped"])
    assert machine.github.writes() == writes
    assert any(
        file == "models.yml" and line == "10" and "no weights today" in said for _, file, line, said in run.errors
    )
    # the workflow's own output is out of reach: act ends everything where a job fails
    assert '["spy"]' in {e["arg"] for e in run.events if e.get("command") == "set-output" and e["name"] == "failed"}


def test_requirements_that_do_not_fit_are_said_by_name(machine):
    (machine.repository / "requirements.txt").write_text("numpy==1.26.4\n")
    machine.commit("Want another numpy")
    run = machine.push("refs/tags/v4", "release.yml")
    (machine.repository / "requirements.txt").write_text("einops==0.8.1\n")
    machine.commit("Want einops")
    assert run.code != 0
    assert any("requirements.txt: these packages do not install" in said and "numpy" in said for *_, said in run.errors)


def test_the_action_alone_publishes_in_a_step_of_its_own(machine, digests):
    run = machine.push("refs/tags/alone-1", "alone.yml")
    assert run.code == 0
    assert run.jobs == {"The Action alone/run": "success", "The Action alone/validate": "success"}
    files, outputs = machine.release("alone-1"), machine.stood("alone.json")
    said = digests(files)
    sums = dict(reversed(line.split("  ")) for line in files["SHA256SUMS"].decode().splitlines())
    assert {name: said[name] for name in sums} == sums
    assert outputs["release-url"].endswith("/alone-1")
    assert json.loads(outputs["changed"]) in (["digits"], [])
    assert (machine.stand_ins / "written").read_text() == "", "the Action writes into its own folder"


def test_where_no_tag_is_pushed_nothing_is_published(machine):
    writes = machine.github.writes()
    run = machine.push("refs/heads/alone", "alone.yml")
    assert run.code == 0
    assert machine.github.writes() == writes
    assert machine.stood("alone.json")["release-url"] == ""


def test_inputs_stay_text(machine):
    run = machine.push("refs/heads/hostile", "hostile.yml")
    assert run.code == 0
    steps = machine.stood("hostile.json")
    named = {name: step["outcome"] for name, step in steps.items() if not name.isdigit()}
    assert named == dict.fromkeys(("manifest", "command", "requirements", "lists", "publish"), "failure")
    assert (machine.stand_ins / "pwned").read_text() == ""
    assert not [step["outputs"] for step in steps.values() if step["outputs"].get("dist")]
    assert run.errors
