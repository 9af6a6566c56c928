"""The words check reports paths of one machine and host names of package registries.

The samples are split so that this file itself passes the check.
"""

import subprocess
from pathlib import Path

import pytest

from infra.checks.words import check_text, check_words


@pytest.mark.parametrize(
    "line",
    [
        "see /" + "work/main/template.yaml",
        'path = "/' + 'root/.cache"',
        "log=/" + "tmp/x.log",
        "(/" + "home/me/code)",
        "/" + "Users/me/code",
    ],
)
def test_a_path_of_one_machine_is_found(line: str) -> None:
    [finding] = check_text("a.md", f"fine\n{line}\n")
    assert finding.startswith("a.md:2 names a path of one machine: /")


@pytest.mark.parametrize(
    "host",
    [
        "pyp" + "i.org",
        "files.pythonhoste" + "d.org",
        "registry.npmj" + "s.org",
        "registry.yarnpk" + "g.com",
        "index.crate" + "s.io",
        "prox" + "y.golang.org",
        "rep" + "o.maven.apache.org",
        "rep" + "o1.maven.org",
        "deb" + ".debian.org",
    ],
)
def test_a_registry_host_is_found(host: str) -> None:
    [finding] = check_text("a.txt", f"--index-url https://{host}/simple")
    assert finding.startswith("a.txt:1 names the host of a registry")


@pytest.mark.parametrize(
    "line",
    [
        "functions/chat/work/file",
        "https://example.com/home/page",
        "$(ROOT)/tmp/x",
        "/opt/python/atrium",
        "/docs/errors",
    ],
)
def test_other_paths_and_addresses_pass(line: str) -> None:
    assert list(check_text("a.md", line)) == []


def test_every_text_file_of_the_project_is_read(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "picture.bin").write_bytes(b"\xff\xfe /" + b"tmp/x")
    (tmp_path / "notes.txt").write_text("in /" + "tmp/x\n")

    assert list(check_words(tmp_path)) == ["notes.txt:1 names a path of one machine: /" + "tmp/x"]
