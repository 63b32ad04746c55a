from pathlib import Path

import pytest

from converter.load import imports

FILES = {
    "net.py": "import os, package.deep.inner\nfrom layers import Conv",
    "layers.py": "def build():\n    import late",
    "late.py": "import net  # a circle",
    "unused.py": "",
    "package/__init__.py": "from . import beside",
    "package/beside.py": "",
    "package/above.py": "",
    "package/deep/__init__.py": "",
    "package/deep/inner.py": "from ..above import x\nfrom .twin import y",
    "package/deep/twin.py": "# -*- coding: latin-1 -*-\n# \xe9\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="latin-1")
    return tmp_path.resolve()


def test_every_file_that_is_reached_is_found_once_the_first_first(folder: Path) -> None:
    found = [path.relative_to(folder).as_posix() for path in imports.reached(folder / "net.py", [folder])]
    assert found == ["net.py", *sorted(set(FILES) - {"net.py", "unused.py"})]


@pytest.mark.parametrize(
    ("module", "files"),
    [
        ("layers", ["layers.py"]),
        ("package.deep.inner", ["package/__init__.py", "package/deep/__init__.py", "package/deep/inner.py"]),
        ("package.deep.inner.Name", ["package/__init__.py", "package/deep/__init__.py", "package/deep/inner.py"]),
        ("torch.nn", []),
    ],
)
def test_a_module_is_the_files_that_its_import_runs(module: str, files: list[str], folder: Path) -> None:
    assert [path.relative_to(folder).as_posix() for path in imports.files_of(module, [folder])] == files
