import stat
import subprocess
import time
import zipfile

import pytest

from converter.errors import EvaluationError
from converter.package.archive import unzipped, zip_package


@pytest.fixture
def package(tmp_path):
    root = tmp_path / "net.mlpackage"
    (root / "Data" / "com.apple.CoreML" / "weights").mkdir(parents=True)
    (root / "Data" / "empty").mkdir()
    (root / "Manifest.json").write_text("{}\n")
    (root / "Data" / "com.apple.CoreML" / "weights" / "weight.bin").write_bytes(bytes(range(256)) * 5000)
    return root


def test_the_same_package_gives_the_same_bytes(package, tmp_path):
    zip_package(package, tmp_path / "a.zip")
    time.sleep(0.01)
    for path in [package / "Manifest.json", package / "Data"]:
        path.touch()
        path.chmod(path.stat().st_mode | stat.S_IXOTH)
    zip_package(package, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_it_unpacks_to_the_package_with_its_empty_folders(package, tmp_path):
    zip_package(package, tmp_path / "a.zip")
    assert zipfile.ZipFile(tmp_path / "a.zip").testzip() is None
    out = tmp_path / "out"
    subprocess.run(["python3", "-m", "zipfile", "-e", tmp_path / "a.zip", out], check=True)
    assert subprocess.run(["diff", "-r", package, out / "net.mlpackage"], check=False).returncode == 0


def test_a_zip_is_opened_for_as_long_as_it_is_needed(package, tmp_path):
    zip_package(package, tmp_path / "net.mlpackage.zip")
    with unzipped(tmp_path / "net.mlpackage.zip") as found:
        assert found.name == "net.mlpackage"
        assert (found / "Manifest.json").read_text() == "{}\n"
    assert not found.exists()
    with unzipped(package) as found:
        assert found == package


@pytest.mark.parametrize("content", [b"no zip", None])
def test_a_zip_without_a_package_is_refused(content, tmp_path):
    path = tmp_path / "net.mlpackage.zip"
    if content is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "nothing else")
    else:
        path.write_bytes(content)
    with pytest.raises(EvaluationError, match=r"cannot be unzipped|holds 0 packages"), unzipped(path):
        pass


# Fields of the two headers: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.7 and 4.3.12
@pytest.mark.parametrize(("local", "central", "value"), [(6, 8, 1), (8, 10, 99)], ids=["encrypted", "unknown method"])
def test_a_zip_that_python_cannot_read_is_refused(local, central, value, package, tmp_path):
    path = tmp_path / "net.mlpackage.zip"
    zip_package(package, path)
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        at = -1
        while (at := content.find(signature, at + 1)) >= 0:
            content[at + offset] = value
    path.write_bytes(content)
    with pytest.raises(EvaluationError, match="cannot be unzipped"), unzipped(path):
        pass


def test_nothing_is_unzipped_outside_its_folder(tmp_path):
    path = tmp_path / "net.mlpackage.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net.mlpackage/Manifest.json", "{}")
        archive.writestr(f"..{tmp_path}/above", "")
        archive.writestr("../" * 20 + f"{tmp_path}/above", "")
        archive.writestr(f"{tmp_path}/above", "")
        link = zipfile.ZipInfo("net.mlpackage/link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, str(tmp_path))
    with unzipped(path) as found:
        assert not (found / "link").is_symlink()
    assert list(tmp_path.iterdir()) == [path]
