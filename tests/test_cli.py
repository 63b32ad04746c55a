import os
import subprocess
import sys
from pathlib import Path

import pytest

from converter.cli import commands, main
from converter.errors import ConverterError

ROOT = Path(__file__).parent.parent

QUICK = [
    ["--help"],
    ["run", "--help"],
    ["check", "examples/models.yml"],
    ["plan", "examples/models.yml"],
    ["ops"],
    ["schema"],
]


@pytest.mark.parametrize("arguments", QUICK, ids=" ".join)
def test_commands_that_only_read_import_neither_torch_nor_coremltools(arguments):
    code = f"""
import sys
sys.argv = ["entrypoint.py"]
from converter.cli import main
code = main({arguments!r})
heavy = {{"torch", "torchvision", "coremltools", "onnxruntime"}} & set(sys.modules)
sys.exit(f"imported {{heavy}}" if heavy else code)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_every_command_has_help_with_an_example(capsys):
    for name, command in commands.commands.items():
        assert main([name, "--help"]) == 0
        said = capsys.readouterr().out
        assert f"entrypoint.py {name}" in said.split("Examples:")[1]
        assert command.help


ENDED = """
import multiprocessing, sys
import entrypoint

def hold(ready):
    lock = multiprocessing.get_context("spawn").Lock()  # as tqdm does, inside torch's and coremltools' imports
    ready.set()
    lock.acquire()
    lock.acquire()

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    worker = context.Process(target=hold, args=(ready,))
    worker.start()
    ready.wait()
    worker.kill()
    worker.join()
"""


def test_a_worker_that_was_ended_leaves_no_words_of_multiprocessing(tmp_path):
    (tmp_path / "ended.py").write_text(ENDED)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    command = [sys.executable, tmp_path / "ended.py"]
    done = subprocess.run(
        command, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_a_mistyped_manifest_is_guessed(capsys, tmp_path):
    (tmp_path / "models.yml").touch()
    assert main(["check", str(tmp_path / "model.yml")]) == 2
    assert f"did you mean {tmp_path / 'models.yml'}?" in capsys.readouterr().err


def test_every_option_says_what_it_does():
    for name, command in commands.commands.items():
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, f"{name} {parameter.name}"


def test_every_kind_of_error_has_an_exit_code_that_help_names(capsys):
    main(["--help"])
    said = " ".join(capsys.readouterr().out.split())

    def kinds(kind):
        yield kind
        for sub in kind.__subclasses__():
            yield from kinds(sub)

    for kind in kinds(ConverterError):
        assert f" {kind.exit_code} " in said, kind


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["check", "no.yml"], 2, "no.yml"),
        (["chekc"], 2, "No such command"),
        (["run", "examples/models.yml", "--jobs", "0"], 2, "--jobs"),
        (["run", "examples/models.yml", "--only", "digit", "--output", "{tmp}"], 2, "digits"),
        (["predict", "no.mlmodel", "--input", "image=no.jpg"], 7, "no.jpg"),
        (["predict", "no.mlmodel"], 7, "no.mlmodel"),
        (["inspect", "README.md"], 7, "README.md"),
        (["ops", "no.onnx"], 3, "no.onnx"),
        (["validate", "{tmp}"], 6, "build.json"),
        (["run", "examples/models.yml", "--output", "LICENSE/dist"], 6, "LICENSE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_command_is_one_clear_error(arguments, code, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main([a.replace("{tmp}", str(tmp_path)) for a in arguments]) == code
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_a_check_that_finds_nothing_to_check_leaves_no_record_of_an_earlier_one(tmp_path, capsys):
    record = tmp_path / "validation.json"
    record.write_text("passed, the last time")
    assert main(["validate", str(tmp_path), "--record", str(record)]) == 6
    assert not record.exists()
