"""The Action's own environment: the locks by script/setup, then the user's requirements, held to the locks."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from prepare import ROOT, complaint, requirement_files


def main() -> int:
    venv = Path(os.environ["COREML_RELEASE_VENV"])
    profile = os.environ["PROFILE"]
    files = requirement_files(os.environ.get("INPUT_REQUIREMENTS", "")) if profile == "run" else []
    wanted = hashlib.sha256(b"\0".join([sys.version.encode(), *(path.read_bytes() for path in files)])).hexdigest()
    stamp = venv / "requirements"
    if venv.exists() and not (stamp.is_file() and stamp.read_text() == wanted):
        shutil.rmtree(venv)  # of an earlier step with other requirements, or of one that failed

    environment = {name: value for name, value in os.environ.items() if name != "UV_CACHE_DIR" or value}
    environment.setdefault("UV_COMPILE_BYTECODE", "0")  # 18 s, for less than is used once
    if subprocess.run([ROOT / "script" / "setup", profile], env=environment, check=False).returncode:
        print(complaint("the Action's own packages cannot be installed; what uv or pip said stands above"))
        return 1
    if files and not stamp.is_file() and not _install(venv, files, environment):
        return 2
    stamp.write_text(wanted)
    return 0


def _install(venv: Path, files: list[Path], environment: dict[str, str]) -> bool:
    """The user's packages; what the locks name keeps its version."""
    locks = [argument for name in ("run", "torch") for argument in ("--constraint", ROOT / f"requirements/{name}.txt")]
    backend = environment.get("TORCH_BACKEND")
    command = [venv / "bin" / "uv", "pip", "install", "--python", venv / "bin" / "python", *locks]
    command += [f"--torch-backend={backend}"] if backend else []
    for path in files:
        command += ["--requirements", path]
    names = ", ".join(map(str, files))
    print(f"installing {names}", flush=True)
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    sys.stderr.write(done.stderr)
    if done.returncode:
        print(
            complaint(
                f"{names}: these packages do not install beside the Action's own, whose versions stay as locked: "
                "torch, coremltools, numpy and the rest stand in its requirements/run.txt and torch.txt. Loosen the "
                f"version that is named here, or leave it out.\n{done.stderr[-2500:]}"
            )
        )
    return not done.returncode


if __name__ == "__main__":
    sys.exit(main())
