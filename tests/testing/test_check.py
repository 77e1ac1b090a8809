"""Reports of the conformance kit, `parametrize_components`, and `ganforge check`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ganforge.components.spec import KINDS, Kind
from ganforge.errors import UnknownComponentError, UsageError
from ganforge.plugins.registry import Registry
from ganforge.testing import Failure, Report, check_component, checks_of, parametrize_components
from ganforge.testing.sandbox import heavy_imports
from tests.helpers.image_folders import noise, save
from tests.helpers.plugins import HEADER, command, distribution, in_process, local, provides

SMALL = {"base_channels": 4}
#: Loses its sign: the generator is pulled the wrong way.
SWAPPED = """
from ganforge import Loss

class Swapped(Loss):
    def discriminator_loss(self, *, real, fake):
        from torch.nn.functional import softplus
        return softplus(-real.logits) + softplus(fake.logits)

    def generator_loss(self, *, real, fake):
        from torch.nn.functional import softplus
        return softplus(fake.logits)

""" + provides("loss", "swapped", "PLACE").replace("'PLACE'", "Swapped")

#: Dataset that opens a connection in its constructor and has no helpful error for missing data.
HASTY = """
from ganforge import Dataset, ImageTensors

class Hasty(Dataset):
    def __init__(self, options):
        super().__init__(options)
        import socket
        try:
            socket.create_connection(("example.org", 80), timeout=1)
        except OSError:
            pass

    def open(self, split):
        with open("nowhere.bin", "rb"):
            pass

""" + provides("dataset", "hasty", "PLACE").replace("'PLACE'", "Hasty")


# Reports


def test_every_kind_has_checks_and_whole_trainings() -> None:
    """Each kind has checks of its own, and is trained and resumed."""
    for kind in KINDS:
        own = [check.name for check in checks_of(kind) if set(check.kinds) != set(KINDS)]
        assert len(own) >= 4, kind
        assert {"trains", "resumes-exactly"} <= {check.name for check in checks_of(kind)}


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        ("generator", "mlp", {"hidden": (8,)}),
        ("generator", "dcgan", SMALL),
        ("discriminator", "mlp", {"hidden": (8,)}),
        ("discriminator", "dcgan", SMALL),
        ("loss", "bce", {}),
        ("dataset", "mnist", {"source": "sample"}),
        ("features", "pixels", {}),
        ("features", "random-convolutions", {}),
        ("metric", "data-copying", {}),
        ("metric", "coverage", {}),
        ("metric", "density", {}),
        ("metric", "fid", {}),
        ("metric", "fid-infinity", {}),
        ("metric", "inception-score", {}),
        ("metric", "kid", {"subsets": 4, "subset_size": 32}),
        ("metric", "modes", {}),
        ("metric", "precision", {}),
        ("metric", "recall", {}),
        ("metric", "sliced-wasserstein", {"directions": 8}),
    ],
)
def test_built_in_components_are_conformant(kind: Kind, name: str, options: dict[str, Any], registry: Registry) -> None:
    """Built-in components pass every check that applies, and every check is accounted for."""
    report = check_component(kind, name, options=options, registry=registry)
    report.raise_for_failures()
    found = [*report.passed, *report.skipped]
    assert sorted(found) == sorted(check.name for check in checks_of(kind))
    assert len(report.passed) > 1.5 * len(report.skipped)


def test_a_folder_of_pictures_is_conformant(tmp_path: Path, registry: Registry) -> None:
    """The built-in `folder` passes with its `path`; without it, the error names the option."""
    for label in ("a", "b"):
        for number in range(6):
            save(tmp_path / "pictures" / label / f"{number}.png", noise("L", (8 + number, 8)).resize((8, 8)))
    options = {"path": tmp_path / "pictures"}
    check_component("dataset", "folder", options=options, registry=registry).raise_for_failures()
    with pytest.raises(UsageError, match="its options do not validate") as caught:
        check_component("dataset", "folder", registry=registry)
    assert "--set path=VALUE" in str(caught.value.fix)


@pytest.mark.slow
def test_extractor_without_weights_fails_missing_data(tmp_path: Path) -> None:
    """An extractor that opens a missing weights file fails `missing-data`, and only that."""
    source = """
from pathlib import Path
from ganforge import FeatureOutput, FeatureExtractor

class Trained(FeatureExtractor):
    preprocessing = "none"
    size = 1

    class Options(FeatureExtractor.Options):
        weights: Path = Path(__file__)

    def __init__(self, options, image):
        super().__init__(options, image)
        open(options.weights).close()

    def forward(self, images):
        return FeatureOutput(images.flatten(1).float().mean(1, keepdim=True))

""" + provides("features", "trained", "PLACE").replace("'PLACE'", "Trained")
    registry = Registry.discover([local(tmp_path / "trained.py", source)], no_plugins=True)
    report = check_component("features", "trained", registry=registry)
    reasons = {failure.check: failure.reason for failure in report.failed}
    assert list(reasons) == ["missing-data"], reasons
    assert "a DataError is needed" in reasons["missing-data"]
    assert "no-network" in report.passed


def test_an_expected_failure_is_strict(tmp_path: Path) -> None:
    """An expected failure is counted separately; if it passes or does not apply, that is a failure."""
    registry = Registry.discover([local(tmp_path / "swapped.py", SWAPPED)], no_plugins=True)
    reason = {"gradient-signs": "it is swapped on purpose"}
    report = check_component("loss", "swapped", registry=registry, expected_failures=reason)
    assert report.expected_failures == reason
    assert report.conformant
    hopeful = {"loss-shape": "it never does", "same-seed-same-weights": "it has none"}
    report = check_component("loss", "swapped", registry=registry, expected_failures=hopeful)
    reasons = {failure.check: failure.reason for failure in report.failed}
    assert reasons["loss-shape"] == "it was expected to fail (it never does), but passes"
    assert reasons["same-seed-same-weights"].startswith("it was expected to fail, but does not apply")
    assert set(reasons) == {"loss-shape", "same-seed-same-weights", "gradient-signs"}
    with pytest.raises(UsageError, match=r"no check 'loss-shap' of a loss; did you mean 'loss-shape'\?"):
        check_component("loss", "swapped", registry=registry, expected_failures={"loss-shap": ""})


def test_a_component_that_cannot_be_built_is_one_failure(tmp_path: Path) -> None:
    """The cause is reported once, and every check that needs the component is listed as not run."""
    source = """
from ganforge import Loss

class Broken(Loss):
    def __init__(self, options):
        raise OSError("the weights are on another machine")

    def discriminator_loss(self, *, real, fake): ...
    def generator_loss(self, *, real, fake): ...

""" + provides("loss", "broken", "PLACE").replace("'PLACE'", "Broken")
    registry = Registry.discover([local(tmp_path / "broken.py", source)], no_plugins=True)
    report = check_component("loss", "broken", registry=registry)
    reasons = {failure.check: failure.reason for failure in report.failed}
    assert "the weights are on another machine (broken.py, line 8)" in reasons["builds"]
    assert list(reasons) == ["builds"]
    assert report.not_run["gradient-signs"] == "not run because builds failed"
    assert {*reasons, *report.not_run, *report.skipped} == {check.name for check in checks_of("loss")}
    assert not report.conformant


def test_a_report_names_every_failure_with_its_fix() -> None:
    """The assertion that a test shows has the check, the reason and what helps."""
    report = Report("loss x/y", passed=["builds"], failed=[Failure("loss-shape", "it has shape ()", "return (N,)")])
    assert str(report) == "loss x/y: 1 passed, 1 failed"
    with pytest.raises(AssertionError, match=r"loss-shape: it has shape \(\)\n    fix: return \(N,\)"):
        report.raise_for_failures()


# DistContext of their own


@pytest.mark.slow
def test_a_module_that_imports_torch_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`light-import` sees what a fresh process has imported; ganforge's own module imports nothing heavy."""
    place = distribution(tmp_path, "heavy-plugin", "import torch\n" + provides("loss", "heavy"))
    monkeypatch.syspath_prepend(str(place))
    assert heavy_imports("ganforge.builtin") == []
    assert "torch" in heavy_imports("heavy_plugin")
    done = in_process(tmp_path, "check", "loss", "heavy", "--json", PYTHONPATH=str(place))
    assert done.returncode == 2, "its class cannot be imported at all"
    (place / "heavy_plugin.py").write_text(HEADER + SWAPPED)
    done = in_process(tmp_path, "check", "loss", "swapped", "--json", PYTHONPATH=str(place))
    failed = {found["check"]: found["reason"] for found in json.loads(done.stdout)["failed"]}
    assert failed["light-import"].startswith("importing heavy_plugin imports torch, ")


def test_dataset_that_connects_in_its_constructor_fails_no_network(tmp_path: Path) -> None:
    """`no-network` names the address; `missing-data` requires a DataError with a fix."""
    registry = Registry.discover([local(tmp_path / "hasty.py", HASTY)], no_plugins=True)
    report = check_component("dataset", "hasty", registry=registry)
    reasons = {failure.check: failure.reason for failure in report.failed}
    assert "example.org" in reasons["no-network"]
    assert "FileNotFoundError" in reasons["missing-data"]
    assert "a DataError is needed" in reasons["missing-data"]


# pytest


CONFORMANCE = """
from ganforge.testing import parametrize_components

KNOWN = {"loss/swapped": {"light-import": "one file", "loss-shape": "passes"}}

@parametrize_components("ganforge-swapped", expected_failures=KNOWN)
def test_conforms(check):
    check()
"""


def test_each_check_is_a_test_of_its_own(tmp_path: Path) -> None:
    """Pytest counts what passed, failed, was skipped with its reason, and failed as expected."""
    place = distribution(tmp_path, "ganforge-swapped", SWAPPED)
    test = tmp_path / "test_conformance.py"
    test.write_text(CONFORMANCE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", str(test)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(place)},
    )
    assert "it has no weights" in done.stdout
    assert "gradient-signs: G's loss does not fall with a fake's logit" in done.stdout
    counts = done.stdout.splitlines()[-1].rpartition(" in ")[0]
    skipped = ("same-seed-same-weights", "reweight-shape", "frozen-networks", "stage-key", "trains", "resumes-exactly")
    passed = len(checks_of("loss")) - len(skipped) - 3
    assert counts == f"2 failed, {passed} passed, {len(skipped)} skipped, 1 xfailed"
    assert "not run because gradient-signs failed" in done.stdout


# The command


def test_check_command_exits_with_4_and_prints_the_fix(tmp_path: Path) -> None:
    """A file, a distribution and a component can be named; what fails is shown with its reason and fix."""
    file = local(tmp_path / "swapped.py", SWAPPED)
    done = command("check", file)
    assert done.returncode == 4
    assert "✗ loss swapped.py/swapped" in done.stdout
    assert "failed gradient-signs: G's loss does not fall with a fake's logit" in done.stdout
    assert "→ real logits up and fake ones down" in done.stdout
    done = command("check", "loss", "swapped", "--plugin", file, "--expect", "gradient-signs=on purpose", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["component"] == "loss swapped.py/swapped"
    assert document["expected_failures"] == [{"check": "gradient-signs", "reason": "on purpose"}]
    assert document["failed"] == []
    assert {"passed", "failed", "expected_failures", "not_run", "skipped", "component"} == document.keys()
    done = command("check", "gen", "mlp", "--set", "hidden=[8]", "--image", "3x12x12", "--no-plugins")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("✓ generator ganforge/mlp: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("loss", "bec"), "no loss 'bec'; did you mean 'bce'"),
        (("los", "bce"), "invalid kind 'los'; did you mean 'loss'?"),
        (("bcf",), "no components of 'bcf'"),
        (("ganforg",), "no components of 'ganforg'; did you mean 'ganforge'?"),
        (("nowhere.py",), "no plugin at nowhere.py"),
        (("a", "b", "c"), "check takes a kind and a name, or a plugin, not 3 arguments"),
        (("loss", "bce", "--image", "28x28"), "invalid --image '28x28'"),
        (("gen", "dcgan", "--image", "1x30x30"), "cannot work with images of 30×30 pixels"),
        (("loss", "bce", "--expect", "shape=x"), "no check 'shape' of a loss"),
        (("loss", "bce", "--set", "scale=2"), "its options do not validate"),
        (("dataset", "folder"), "its options do not validate"),
    ],
)
def test_mistakes_are_one_message(words: tuple[str, ...], message: str) -> None:
    """Invalid arguments are refused with exit code 2 and the nearest valid ones."""
    done = command("check", *words, "--no-plugins")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""


TWO = """
from ganforge import Loss, LossTerm
from torch.nn.functional import softplus

class Scaled(Loss):
    class Options(Loss.Options):
        scale: float = -1.0

    def discriminator_loss(self, *, real, fake):
        return softplus(-real.logits) + softplus(fake.logits)

    def generator_loss(self, *, real, fake):
        return self.options.scale * -fake.logits

class Brightness(LossTerm):
    class Options(LossTerm.Options):
        scale: float = 1.0
        target: float = 0.0

    def forward(self, step):
        return self.options.scale * (step.fake.flatten(1).mean(1) - self.options.target).square()

@hookimpl
def ganforge_components():
    yield Component(kind="loss", name="my-loss", target=Scaled)
    yield Component(kind="term", name="my-term", target=Brightness)
"""


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 4, "failed gradient-signs"),
        (("--set", "scale=1"), 0, "✓ term two.py/my-term"),
        (("--set", "my-loss.scale=1", "--set", "target=0.5"), 0, "✓ loss two.py/my-loss"),
        (("--set", "my-term.scale=1"), 4, "failed gradient-signs"),
        (("--expect", "gradient-signs=on purpose"), 0, "failed as expected gradient-signs: on purpose"),
        (("--expect", "my-loss.gradient-signs=on purpose"), 0, "failed as expected gradient-signs: on purpose"),
        (("--expect", "builds=why"), 2, "--expect my-loss.builds=REASON"),
        (("--expect", "my-term.gradient-signs=why"), 2, "no check 'gradient-signs' of a term"),
        (("--set", "scal=1"), 2, "no component has this option; did you mean 'scale'?"),
    ],
)
def test_options_and_expected_failures_of_a_file(
    tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    """Settings go to the components that have them, or to the one that is named; so do expected failures."""
    done = command("check", local(tmp_path / "two.py", TWO), "--no-plugins", *words)
    assert done.returncode == code, done.stdout + done.stderr
    assert message in done.stdout + done.stderr


def test_a_bare_name_means_the_components_of_every_kind(tmp_path: Path) -> None:
    """`check NAME` examines all of the name; options go to those that have them."""
    source = TWO.replace('"my-loss"', '"same"').replace('"my-term"', '"same"')
    done = command("check", "same", "--plugin", local(tmp_path / "two.py", source), "--set", "target=0.5", "--json")
    assert done.returncode == 4
    reports = json.loads(done.stdout)
    assert [report["component"] for report in reports] == ["loss two.py/same", "term two.py/same"]


SLEEPS = """
import time
from ganforge import LossTerm

class Sleeps(LossTerm):
    def forward(self, step):
        time.sleep(0.5 if step.step > 5 else 0)
        return step.fake.flatten(1).square().mean(1)

""" + provides("term", "sleeps", "PLACE").replace("'PLACE'", "Sleeps")


def test_sigterm_ends_the_command_during_a_training(tmp_path: Path) -> None:
    """The signal is not taken for a failure of the component, and leaves no run behind."""
    file = local(tmp_path / "sleeps.py", SLEEPS)
    folder = tmp_path / "temporary"
    folder.mkdir()
    words = [sys.executable, "-m", "ganforge", "check", str(file), "--no-plugins"]
    check = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder)})
    while not list(folder.glob("ganforge-check-*/run/metrics.jsonl")):
        assert check.poll() is None, "it ended before it trained"
        time.sleep(0.05)
    check.terminate()
    output, _ = check.communicate()
    assert check.returncode == -signal.SIGTERM
    assert output == ""
    assert not list(folder.glob("ganforge-check-*"))


def test_listeners_have_nothing_to_check(tmp_path: Path) -> None:
    """A plugin without components exits 2 with a message, not as a failed check."""
    file = local(tmp_path / "watch.py", "@hookimpl\ndef ganforge_finished(status):\n    pass\n")
    done = command("check", file)
    assert done.returncode == 2
    assert "provides no components" in done.stderr


def test_missing_distribution_is_a_usage_error(registry: Registry) -> None:
    """A missing distribution is a UsageError in tests and for the command."""
    with pytest.raises(UsageError, match="no components of 'ganforge-nowhere'"):
        parametrize_components("ganforge-nowhere")
    with pytest.raises(UsageError, match=r"ganforge has no 'loss/bcd'; did you mean 'loss/bce'\?"):
        parametrize_components("ganforge", options={"loss/bcd": {}})
    with pytest.raises(UnknownComponentError):
        check_component("loss", "bec", registry=registry)
