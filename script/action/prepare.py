"""The Action's first own step: what has to be installed, what is cached, and where; standard library only."""

import hashlib
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROFILES = {
    "check": "light",
    "plan": "light",
    "merge": "light",
    "report": "light",
    "publish": "light",
    "convert": "run",
    "run": "run",
    "validate": "run",  # with the reference evaluator; Core ML itself needs less
}
"""The profile of script/setup for each command."""

SWITCHES = {
    "publish": ("tags", "always", "never"),
    "caching": ("true", "false"),
    "aws-for-sources": ("false", "true"),
}
"""Inputs that action.yml itself reads, which would otherwise mean something else where they are misspelt."""


def prepare(inputs: Mapping[str, str], *, system: str, machine: str, temp: Path) -> dict[str, str]:
    """The step's outputs; raises ValueError with a sentence for the user.

    Keys hold hashes of what a user wrote, never the text itself.
    """
    command = inputs.get("INPUT_COMMAND", "")
    if command not in PROFILES:
        raise ValueError(f"command: {command!r} is no command of the Action; say one of {', '.join(PROFILES)}")
    for name, allowed in SWITCHES.items():
        if (said := inputs.get(f"INPUT_{name.upper().replace('-', '_')}", allowed[0])) not in allowed:
            raise ValueError(f"{name}: {said!r} is given, one of {', '.join(allowed)} is expected")
    explains = command == "plan" and inputs.get("INPUT_EXPLAIN") == "true"  # by what would convert
    profile = "run" if explains else PROFILES[command]
    if command == "validate" and inputs.get("INPUT_ENGINE") == "coreml":
        profile = "validate"
    files = requirement_files(inputs.get("INPUT_REQUIREMENTS", "")) if profile == "run" else []
    backend = inputs.get("INPUT_TORCH_BACKEND", "") or ("cpu" if system == "Linux" else "index")
    builds = command in ("convert", "run") or explains
    caching = inputs.get("INPUT_CACHING", "true") == "true"
    home = temp / "coreml-release"
    cache, store = inputs.get("INPUT_CACHE", "").strip(), inputs.get("INPUT_STORE", "").strip()
    caches_downloads = caching and builds and not cache
    caches_store = caching and builds and not store

    here = f"{system}-{machine}-{platform.python_version()}"
    locks = [ROOT / "requirements" / f"{name}.txt" for name in ("uv", "torch", "run", "validate")]
    packages = digest(profile, backend, *(path.read_text() for path in [*locks, *files] if path.is_file()))
    manifest = Path(inputs.get("INPUT_MANIFEST", "").strip() or "models.yml")
    said = manifest.read_text(encoding="utf-8", errors="replace") if manifest.is_file() else ""
    share = digest(str(manifest), *(inputs.get(f"INPUT_{name}", "").strip() for name in ("ONLY", "SHARD")))
    run = f"{inputs.get('GITHUB_RUN_ID', '')}-{inputs.get('GITHUB_RUN_ATTEMPT', '')}"
    return {
        "profile": profile,
        "torch-backend": "" if backend == "index" or profile != "run" else backend,
        "venv": str(home / "venv"),
        "python": str(home / "venv" / "bin" / "python"),
        "uv-cache": str(home / "uv") if caching else "",
        "packages-key": f"coreml-release-packages-{here}-{packages}" if caching else "",
        "cache": cache or (str(home / "downloads") if caches_downloads else ""),
        "downloads-folder": str(home / "downloads") if caches_downloads else "",
        "downloads-key": f"coreml-release-downloads-{share}-{digest(said)}",
        "downloads-earlier": f"coreml-release-downloads-{share}-\ncoreml-release-downloads-",
        "store": store or (str(home / "store") if caches_store else ""),
        "store-folder": str(home / "store") if caches_store else "",
        "store-key": f"coreml-release-store-{share}-{run}",
        "store-earlier": f"coreml-release-store-{share}-\ncoreml-release-store-",
    }


def requirement_files(said: str) -> list[Path]:
    """The files that the input `requirements` names, one a line; raises ValueError for one that is not there."""
    files = [Path(line.strip()) for line in said.splitlines() if line.strip()]
    missing = [str(path) for path in files if not path.is_file()]
    if missing:
        raise ValueError(
            f"requirements: there is no file {', '.join(missing)}; name files of the checked-out repository, one a line"
        )
    return files


def digest(*texts: str) -> str:
    """Twenty hexadecimal digits, in which no two lists of texts agree."""
    whole = hashlib.sha256()
    for text in texts:
        whole.update(f"{len(text)}:{text}".encode())
    return whole.hexdigest()[:20]


def complaint(words: str) -> str:
    """An error annotation: https://docs.github.com/actions, workflow commands."""
    return "::error title=coreml-release::" + words.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def main() -> int:
    temp = Path(os.environ["RUNNER_TEMP"])
    try:
        outputs = prepare(os.environ, system=platform.system(), machine=platform.machine(), temp=temp)
    except ValueError as error:
        print(complaint(str(error)))
        return 2
    for folder in ("downloads-folder", "store-folder"):
        if outputs[folder]:  # the cache complains of folders that nobody made
            Path(outputs[folder]).mkdir(parents=True, exist_ok=True)
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8", newline="\n") as target:
        for name, value in outputs.items():
            end = f"end-{os.urandom(16).hex()}"
            target.write(f"{name}<<{end}\n{value}\n{end}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
