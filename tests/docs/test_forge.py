"""Files for contributors on a public forge: valid, and in agreement with pyproject.toml, the README and .ci/run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from ganforge.components.spec import KINDS
from tests.helpers.docs import ROOT, blocks

GITHUB = ROOT / ".github"
FORMS = [path for path in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def load(path: Path) -> dict[str, Any]:
    """Read a YAML file, whose root is a table."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


@pytest.fixture
def jobs() -> dict[str, Any]:
    """Return the jobs of the workflow."""
    jobs: dict[str, Any] = load(GITHUB / "workflows" / "ci.yml")["jobs"]
    return jobs


def minimum(distribution: str) -> str:
    """Return the oldest version of a dependency that pyproject.toml permits."""
    versions = dict(name.split(">=") for name in PROJECT["dependencies"])
    return str(versions[distribution])


def test_workflow_tests_the_supported_versions(jobs: dict[str, Any]) -> None:
    """The matrix has the Pythons of the classifiers, the oldest permitted torch, and the newest one."""
    matrix = jobs["test"]["strategy"]["matrix"]
    label = "Programming Language :: Python :: 3."
    assert [f"{label}{version.partition('.')[2]}" for version in matrix["python"]] == [
        name for name in PROJECT["classifiers"] if name.startswith(label)
    ]
    assert PROJECT["requires-python"] == f">={matrix['python'][0]}"
    requirements = {row["torch"]: row["requirements"] for row in matrix["include"]}
    assert requirements == {
        "oldest": f"torch=={minimum('torch')}.* torchvision=={minimum('torchvision')}.*",
        "newest": "torch torchvision",
    }
    assert matrix["torch"] == list(requirements)


def test_workflow_runs_the_commands_of_the_readme(jobs: dict[str, Any]) -> None:
    """One job runs the README's test command, another one .ci/run, and no action floats."""
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert blocks(ROOT / "README.md", "bash")[1].text.strip() in commands["test"]
    assert commands["all"] == [".ci/run"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    actions = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert [action for action in actions if not re.fullmatch(r"actions/[\w-]+@v\d+", action)] == []


def test_hooks_are_checks_of_contributing() -> None:
    """Each pre-commit hook is a command of CONTRIBUTING.md, without its arguments."""
    (repository,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    checks = blocks(ROOT / "CONTRIBUTING.md", "bash")[1].text.splitlines()
    names = [hook["name"] for hook in repository["hooks"]]
    assert [name for name in names if not any(check.startswith(name) for check in checks)] == []
    assert all(hook["entry"].startswith(hook["name"]) for hook in repository["hooks"])


def test_citation_agrees_with_the_metadata() -> None:
    """CITATION.cff has the keys that its schema requires, and pyproject's name, version, license and authors."""
    citation = load(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert (citation["title"], citation["version"]) == (PROJECT["name"], PROJECT["version"])
    assert " AND ".join(citation["license"]) == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_issue_forms_are_valid(form: Path) -> None:
    """A form has a name, a description, and fields with unique ids, known types and labels."""
    document = load(form)
    assert document["name"]
    assert document["description"]
    fields = document["body"]
    assert {field["type"] for field in fields} <= {"input", "textarea", "checkboxes", "dropdown", "markdown"}
    assert all(field["attributes"]["label"] for field in fields)
    ids = [field["id"] for field in fields]
    assert len(ids) == len(set(ids))


def test_forms_request_what_maintainers_need() -> None:
    """A bug report has the output of doctor, and a method its kinds of components."""
    fields = {form.stem: {field["id"]: field for field in load(form)["body"]} for form in FORMS}
    assert fields.keys() == {"bug", "feature", "method"}
    assert "ganforge doctor" in fields["bug"]["doctor"]["attributes"]["label"]
    assert fields["bug"]["doctor"]["validations"] == {"required": True}
    kinds = [option["label"] for option in fields["method"]["kinds"]["attributes"]["options"]]
    assert sorted(kinds) == sorted(KINDS)


def test_metadata_have_no_placeholder() -> None:
    """No invented address is published: the table of URLs waits for a real one."""
    assert "urls" not in PROJECT
    assert "example" not in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_changelog_has_one_line_per_entry() -> None:
    """CHANGELOG.md groups its entries by area, and each is one line."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("\n### ")[2]
    for group in text.split("\n### "):
        area, _, entries = group.partition("\n\n")
        assert re.fullmatch(r"(Added|Changed|Fixed|Removed): [a-zA-Z ]+", area), area
        assert [line for line in entries.strip().splitlines() if not re.match(r"- .+\.$", line)] == []


def test_contributing_is_one_screen() -> None:
    """CONTRIBUTING.md is short enough to be read."""
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 50
