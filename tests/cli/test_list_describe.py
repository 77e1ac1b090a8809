"""Laws of `list` and `describe`: their JSON, the words that they understand, and plain text for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ganforge import builtin
from ganforge.cli.list import MIN_WIDTH, format_rows
from ganforge.components.spec import FLAGS, KINDS
from tests.helpers.plugins import command, in_process, local, provides, shown_on_terminal

KEYS = {"kind", "name", "summary", "distribution", "version", "target", "paper", "tags"}


def answer(*arguments: str | Path) -> Any:
    """Return the JSON document that a command prints; nothing else is printed anywhere."""
    finished = command(*arguments, "--json")
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    return json.loads(finished.stdout)


def test_list_has_every_component_with_every_key() -> None:
    """`list --json` has the built-in components and presets as they describe themselves, sorted by kind and name."""
    rows = answer("list")
    assert all(row.keys() == KEYS for row in rows)
    assert [(row["kind"], row["name"]) for row in rows] == sorted(
        ((row["kind"], row["name"]) for row in rows), key=lambda pair: ((*KINDS, "preset").index(pair[0]), pair[1])
    )
    listed = {(row["kind"], row["name"]): row for row in rows}
    components = list(builtin.ganforge_components())
    presets = list(builtin.ganforge_presets())
    assert len(rows) == len(components) + len(presets)
    for preset in presets:
        row = listed["preset", preset.name]
        assert (row["summary"], row["paper"], row["distribution"]) == (preset.summary, preset.paper, "ganforge")
    for component in components:
        row = listed[component.kind, component.name]
        assert (row["summary"], row["target"]) == (component.summary, component.target)
        assert (row["paper"], row["tags"], row["distribution"]) == (component.paper, list(component.tags), "ganforge")


@pytest.mark.parametrize("flag", FLAGS)
def test_kinds_have_many_names(flag: str) -> None:
    """A kind has a name, a plural and a flag, in any case: all list the same."""
    kind = FLAGS[flag]
    plural = {"loss": "losses", "features": "features"}.get(kind, f"{kind}s")
    whole = [row for row in answer("list") if row["kind"] == kind]
    for word in {kind, plural, flag, plural.upper(), f"{flag}s"}:
        assert answer("list", word) == whole


@pytest.mark.parametrize(
    ("word", "meant"), [("generatr", "generator"), ("dics", "disc"), ("data-set", "dataset"), ("shedules", "schedule")]
)
def test_unknown_kinds_are_answered_with_the_nearest(word: str, meant: str) -> None:
    """An invalid kind is an error with exit code 2 and the nearest kind, for both commands."""
    for arguments in (("list", word), ("describe", word, "mlp")):
        finished = command(*arguments)
        assert (finished.returncode, finished.stdout) == (2, "")
        assert f"invalid kind {word!r}; did you mean {meant!r}?" in finished.stderr


def test_unknown_names_are_answered_with_the_nearest() -> None:
    """A name that nothing has is an error with exit code 2 and the nearest name; far from all, with all names."""
    assert "no component 'dcgn'; did you mean 'dcgan'?" in command("describe", "dcgn").stderr
    with_kind = command("describe", "gen", "dcgn")
    assert with_kind.returncode == 2
    assert "no generator 'dcgn'; did you mean 'dcgan' (ganforge " in with_kind.stderr
    far = command("describe", "gen", "xyzzy").stderr
    assert "(available: dcgan, mlp" in far
    assert "--plugin" in far
    assert command("describe", "gen", "mlp", "too").returncode == 2


def test_describe_adds_options_as_json_schema() -> None:
    """`describe --json` is `list`'s row with the options' JSON Schema: types, defaults, limits and descriptions."""
    document = answer("describe", "gen", "dcgan")
    (row,) = [row for row in answer("list", "gen") if row["name"] == "dcgan"]
    assert {key: document[key] for key in KEYS} == row
    schema = document["options"]
    assert (schema["type"], schema["additionalProperties"]) == ("object", False)
    latent_dim = schema["properties"]["latent_dim"]
    assert (latent_dim["type"], latent_dim["default"], latent_dim["exclusiveMinimum"]) == ("integer", 100, 0)
    assert latent_dim["description"] == "Numbers in one latent."
    assert schema["properties"]["init"]["enum"] == ["default", "normal"]


def test_describe_the_kinds_without_a_section() -> None:
    """Optimizers, schedules and latents are described as others are; a term names the phases that it acts in."""
    optimizer = answer("describe", "optimizer", "rmsprop")
    assert optimizer["options"]["properties"]["lr"]["default"] == 5e-5
    assert optimizer["documentation"] == "RMSprop, which the first Wasserstein GANs were trained with."
    assert answer("describe", "schedule", "cosine")["options"]["properties"].keys() == {"start", "final"}
    assert answer("describe", "uniform")["options"].get("properties", {}) == {}
    assert answer("describe", "loss", "bce")["phases"] == ["disc", "gen"]
    for words, flag in ((("adam",), "--optimizer.NAME"), (("cosine",), "--optimizer.schedule.NAME")):
        assert f"such as {flag} VALUE" in command("describe", *words).stdout


def test_descriptions_are_wrapped_between_words() -> None:
    """A paragraph on a terminal is broken at spaces; in a pipe it is one line."""
    text = answer("describe", "gen", "dcgan")["documentation"]
    assert text in command("describe", "gen", "dcgan").stdout.splitlines()
    lines = shown_on_terminal(80, "describe", "gen", "dcgan")
    end = next(number for number, line in enumerate(lines) if line.startswith("paper "))
    assert " ".join(line.rstrip() for line in lines[1:end]) == text
    assert max(map(len, lines[1:end])) <= 80


def test_a_name_of_several_kinds_describes_them_all() -> None:
    """A name shared by several kinds describes all of them; with a kind, only that one."""
    assert [document["kind"] for document in answer("describe", "mlp")] == ["generator", "discriminator"]
    assert answer("describe", "discriminators", "MLP".lower())["kind"] == "discriminator"
    assert answer("describe", "sliced_wasserstein")["name"] == "sliced-wasserstein"


def test_a_name_that_clashes_in_one_kind_only(tmp_path: Path) -> None:
    """A bare name that two plugins give is refused by `describe` although it means one component of another kind."""
    plugin = local(tmp_path / "mine.py", provides("generator", "mlp"))
    refused = command("describe", "mlp", "--plugin", plugin)
    assert refused.returncode == 2
    assert "write ganforge/mlp or mine.py/mlp" in refused.stderr
    assert answer("describe", "disc", "mlp", "--plugin", plugin)["kind"] == "discriminator"


def test_options_that_json_cannot_express_are_their_authors(tmp_path: Path) -> None:
    """An option of a type without a JSON Schema is an error that names the component, not one of ganforge's."""
    source = (
        "import ganforge\n"
        + provides("loss", "odd", "odd:Odd")
        + "class Thing: pass\nclass Odd(ganforge.LossTerm):\n"
        + "    class Options(ganforge.LossTerm.Options, arbitrary_types_allowed=True):\n"
        + "        odd: Thing = None\n"
        + "    def forward(self, step): pass\n"
    )
    finished = command("describe", "odd", "--plugin", local(tmp_path / "odd.py", source), "--json")
    assert (finished.returncode, finished.stdout) == (2, "")
    assert "loss 'odd' (odd.py local): its options have no JSON schema" in finished.stderr


def test_tables_are_plain_text_when_piped(tmp_path: Path) -> None:
    """Piped, neither command prints an escape code, and every summary stands whole on its component's line."""
    listed = in_process(tmp_path, "list", TERM="xterm-256color")
    for component in builtin.ganforge_components():
        (group,) = [text for text in listed.stdout.split("\n\n") if text.startswith(f"{component.kind} (--")]
        assert any(f" {component.name} " in line and component.summary in line for line in group.splitlines())
    described = command("describe", "gen", "dcgan")
    assert all(word in described.stdout for word in ("base_channels", "integer > 0", "Radford", "latent_dim"))
    for finished in (listed, described):
        assert finished.returncode == 0
        assert "\x1b" not in finished.stdout + finished.stderr


@pytest.mark.parametrize("width", [80, 40, 1])
def test_list_fits_the_terminal(width: int) -> None:
    """On a terminal, every line of a list is within its width, down to a readable minimum; no word is lost."""
    rows = answer("list")
    lines = "".join(format_rows(rows, width)).splitlines()
    indent = max(len(row["name"]) for row in rows) + 4
    assert max(map(len, lines)) <= max(width, indent + MIN_WIDTH)
    assert " ".join(lines).split() == "".join(format_rows(rows, None)).split()
    headings = {f"{kind} (--{flag})" for flag, kind in (*FLAGS.items(), ("preset", "preset"))}
    assert {f"{row['kind']} (--" for row in rows} == {f"{line.partition('(--')[0]}(--" for line in headings & {*lines}}


@pytest.mark.parametrize("arguments", [("list",), ("describe", "dcgan"), ("run", "--help"), ("--help",)])
def test_output_in_any_encoding(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Commands whose text has letters that stdout cannot encode print the rest."""
    finished = in_process(tmp_path, *arguments, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.isascii()


def test_markup_in_a_plugin_is_text(tmp_path: Path) -> None:
    """Rich markup in a plugin's summary is printed verbatim."""
    plugin = local(tmp_path / "mine.py", provides("loss", "odd", summary="[bold]loud[/] and [/nothing]"))
    finished = command("list", "loss", "--plugin", plugin)
    assert finished.returncode == 0
    assert "[bold]loud[/] and [/nothing]" in finished.stdout
