"""Reading `ganforge run`'s flags: every setting of an experiment, and every option of its components, is one.

`--gen dcgan --gen.base-channels 64 --epochs 5` is `--set gen=dcgan --set gen.base_channels=64 --set epochs=5`. Writing
them so before they are parsed keeps their order, which decides where two disagree.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from typer.core import TyperCommand

from ganforge.components.spec import SECTIONS, Section
from ganforge.errors import GanforgeError

#: Where a command keeps the words that it was given, for completion.
WORDS = "ganforge.utils.format"

#: Options of components, for the help: of a part of the sections, and of all.
EXAMPLES = ("--metric.kid.subsets 50", "--gen.base_channels 64")

#: What starts a flag; a negative number does not.
FLAG = re.compile(r"--|-[A-Za-z]")


def settings_of_experiment() -> frozenset[str]:
    """Return the keys of an experiment."""
    from ganforge.config import Experiment  # noqa: PLC0415 - `--help` of other commands does not need pydantic

    return frozenset(Experiment.model_fields)


def switches_of_experiment() -> frozenset[str]:
    """Return the keys of an experiment that are on or off."""
    from ganforge.config import Experiment  # noqa: PLC0415 - as above

    return frozenset(key for key, field in Experiment.model_fields.items() if field.annotation is bool)


def as_settings(arguments: list[str], keys: Collection[str] | None = None) -> Iterator[str]:
    """Yield arguments with each flag that sets something written as `--set key=value`.

    keys: the settings that a command has; those of an experiment by default.
    """
    keys, switches = settings_of_experiment() if keys is None else keys, switches_of_experiment()
    remaining = iter(enumerate(arguments))
    for position, argument in remaining:
        if argument == "--":
            yield from arguments[position:]
            return
        name, equals, value = argument.removeprefix("--").partition("=")
        key = name.partition(".")[0].replace("-", "_")
        dotted = "." in name
        if not argument.startswith("--") or key not in keys:
            yield argument
            continue
        if not equals:
            following = arguments[position + 1] if position + 1 < len(arguments) else None
            if following is not None and not FLAG.match(following):
                next(remaining)
                value = following
            elif dotted or key in switches:
                value = "true"  # `--gen.conditional` alone switches an option on
            else:
                yield argument  # the parser says that a value is missing
                continue
        yield from ("--set", f"{name if dotted else key}={value}")


class SettingsCommand(TyperCommand):
    """A command whose flags may be settings; its help lists the components that there are.

    sections: those that a command sets, and nothing else; None where it sets everything that an experiment has.
    """

    sections: ClassVar[tuple[Section, ...] | None] = None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click's own, vendored by typer or not
        """Rewrite the arguments, then parse them."""
        ctx.meta[WORDS] = list(args)
        return super().parse_args(ctx, list(as_settings(args, self.sections)))

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:  # noqa: ANN401 - as above
        """Complete settings, and options of the chosen components, beside the declared flags."""
        from ganforge.cli.completion import completions  # noqa: PLC0415 - only when a shell asks

        declared = super().shell_complete(ctx, incomplete)
        item = type(super().shell_complete(ctx, "-")[0])  # click's own, vendored by typer or not
        known = {found.value for found in declared}
        found = completions(ctx.meta[WORDS], incomplete, self.sections)
        return [*declared, *(item(word, help=text) for word, text in found if word not in known)]

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as above
        """Add what is installed to the help, without importing torch."""
        from ganforge.plugins.registry import Registry  # noqa: PLC0415 - only when help is asked for

        try:
            registry = Registry.discover()
        except GanforgeError:  # a strict environment with a broken plugin; the command itself will say so
            super().format_help(ctx, formatter)
            return
        names = {
            flag: ", ".join(registry.name_of(entry) for entry in registry.of_kind(kind))
            for flag, kind in SECTIONS.items()
            if self.sections is None or flag in self.sections
        }
        lines = [f"--{flag}: {text}" for flag, text in names.items() if text]
        self.epilog = (
            "Components: "
            + " · ".join(lines)
            + f". An option of a component is a flag of its own, such as {EXAMPLES[self.sections is None]}: "
            "ganforge describe NAME shows them."
        )
        if self.sections is None:
            self.epilog += " Every other setting is a flag too, such as --critic-steps 5 or --optimizer.lr 1e-4."
        super().format_help(ctx, formatter)
