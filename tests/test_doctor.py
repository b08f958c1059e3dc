"""``iel doctor``: for real, and with things that are broken."""

from __future__ import annotations

import re
import shutil
import tempfile
from importlib import metadata

import pytest
import torch
from packaging.requirements import Requirement

from iel_fairseq import doctor
from iel_fairseq.cli import main


def findings(printed: str) -> dict[str, tuple[str, str]]:
    """Status and message of each subject."""
    found = {}
    for line in printed.splitlines():
        status, rest = line.split(maxsplit=1)
        subject, message = rest.split(": ", 1)
        found[subject] = (status, message)
    return found


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """beside(name, version): another version of a library, found before the installed one."""

    def install(name: str, version: str) -> None:
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (folder / "top_level.txt").write_text("fairseq\n" if name == "fairseq" else "")
        (folder / "RECORD").write_text("")

    monkeypatch.syspath_prepend(tmp_path)
    return install


def test_here_nothing_fails_and_a_tiny_model_decodes_in_two_passes(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    main(["doctor"])
    found = findings(capsys.readouterr().out)
    assert {status for status, _ in found.values()} <= {"ok", "warning"}
    assert found["torch"] == ("ok", metadata.version("torch"))
    assert {"Python", "ve-fairseq", "transformers", "fairseq", "--user-dir", "fonts", "temporary folder"} < set(found)
    assert "pytest" not in found  # only what is needed to run
    status, message = found["two passes"]
    assert status == "ok"
    assert "a tiny model was trained, fine-tuned and decoded on the" in message
    assert not list(tmp_path.rglob("*.pt"))  # nothing of it is left


def test_what_is_broken_fails_and_says_how_to_mend_it(capsys, beside, monkeypatch, tmp_path):
    beside("lime", "0.1")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert ended.value.code == 1
    found = findings(capsys.readouterr().out)
    [wanted] = [each for each in map(Requirement, metadata.requires("iel-fairseq")) if each.name == "lime"]
    assert found["lime"] == (
        "FAILED",
        f'0.1, but {wanted.specifier} is needed; pip install "lime{wanted.specifier}"',
    )
    assert found["shap"][0] == "ok"
    status, message = found["temporary folder"]
    assert (status, message.startswith(str(tmp_path / "none"))) == ("FAILED", True)
    assert "TMPDIR" in message
    status, message = found["two passes"]  # a check that breaks is a finding, too
    assert status == "FAILED"
    assert message.startswith("FileNotFoundError: ")


def test_a_second_fairseq_in_the_place_of_the_first_fails(beside):
    beside("fairseq", "0.12.2")
    [finding] = doctor.check_fairseq()
    assert finding.status == "FAILED"
    assert finding.message == (
        "from fairseq and ve-fairseq, but ve-fairseq alone is needed; "
        "pip uninstall fairseq ve-fairseq, then pip install ve-fairseq==0.12.3"
    )


def test_a_second_copy_beside_fairseq_fails_and_the_same_one_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.fairseq, "__file__", str(tmp_path / "fairseq" / "__init__.py"))
    [finding] = doctor.check_user_dir()
    assert (finding.status, finding.message) == ("ok", f"give the path {doctor.PACKAGE}")
    (tmp_path / "iel_fairseq").symlink_to(doctor.PACKAGE)
    [finding] = doctor.check_user_dir()
    assert (finding.status, finding.message) == ("ok", "give iel_fairseq, from any folder")
    (tmp_path / "iel_fairseq").unlink()
    (tmp_path / "iel_fairseq").mkdir()
    [finding] = doctor.check_user_dir()
    assert finding.status == "FAILED"
    assert f"two copies, {doctor.PACKAGE} and {tmp_path / 'iel_fairseq'}" in finding.message


@pytest.mark.gpu
def test_each_gpu_multiplies_as_the_cpu_does():
    found = list(doctor.check_gpus())
    assert len(found) == torch.cuda.device_count()
    for index, finding in enumerate(found):
        assert (finding.status, finding.subject) == ("ok", f"GPU {index}")
        assert re.fullmatch(rf"\S.*, [\d.]+ of [\d.]+ GiB free, CUDA {torch.version.cuda}", finding.message)


@pytest.mark.gpu
def test_a_gpu_that_multiplies_wrongly_fails(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "cpu", lambda product: torch.zeros(product.shape))
    assert {finding.status for finding in doctor.check_gpus()} == {"FAILED"}
    assert all("a product of matrices is wrong" in finding.message for finding in doctor.check_gpus())


@pytest.mark.parametrize(
    ("built_for", "driver", "status", "message"),
    [
        (None, None, "ok", "none; the CPU is used"),
        (None, "/usr/bin/nvidia-smi", "warning", "torch is a build for CPUs, though there seems to be one; install a"),
        ("13.0", "/usr/bin/nvidia-smi", "warning", "torch is built for CUDA 13.0 but sees none, so that the CPU is"),
    ],
)
def test_where_there_is_no_gpu_it_says_why(monkeypatch, built_for, driver, status, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built_for)
    monkeypatch.setattr(shutil, "which", lambda program: driver)
    [finding] = doctor.check_gpus()
    assert (finding.status, finding.subject) == (status, "GPU")
    assert finding.message.startswith(message)
