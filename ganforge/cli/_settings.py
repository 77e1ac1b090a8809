"""Flags for settings: every setting of an experiment and every option of its components is a flag of `ganforge run`.

`--gen dcgan --gen.base-channels 64 --epochs 5` becomes `--set gen=dcgan --set gen.base_channels=64 --set epochs=5`
before parsing. This keeps the order of the flags: the last value of a setting wins.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from ganforge.cli._classes import PlainCommand
from ganforge.cli._completion import ARGUMENTS, completions
from ganforge.cli._output import did_you_mean_option
from ganforge.components.spec import FLAGS, Section
from ganforge.config import Experiment, Layer, preset_layer, read_document
from ganforge.config.dotted import RENAMED, literal
from ganforge.config.references import SINGLE, TRAINED
from ganforge.errors import ConfigError, GanforgeError, UsageError
from ganforge.plugins.registry import Registry
from ganforge.utils.suggest import own_names

#: Examples for the help of a command with some sections, and with all.
EXAMPLES = ("--metric.kid.subsets 50", "--gen.base_channels 64")

#: Start of the keys of sampling options.
SAMPLING = "sampling."

HELP = frozenset({"-h", "--help"})
#: Start of a flag; a negative number is not one.
FLAG = re.compile(r"--|-(?!inf\b|nan\b)[A-Za-z]")


def settings_of_experiment() -> frozenset[str]:
    """Return the settings of an experiment, and renamed ones, which have an error message."""
    return frozenset(Experiment.model_fields) | RENAMED.keys()


def switches_of_experiment() -> frozenset[str]:
    """Return the boolean settings of an experiment."""
    return frozenset(key for key, field in Experiment.model_fields.items() if field.annotation is bool)


def as_settings(arguments: list[str], keys: Collection[str] | None = None, own: Collection[str] = ()) -> Iterator[str]:
    """Yield arguments, with each flag of a setting as `--set key=value`.

    Args:
        arguments: Arguments of the command line.
        keys: Settings of the command; those of an experiment by default.
        own: Settings whose flags belong to the command; flags of their options are still settings.
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
        if not argument.startswith("--") or key not in keys or (key in own and not dotted):
            yield argument
            continue
        if not equals:
            following = arguments[position + 1] if position + 1 < len(arguments) else None
            if following is not None and not FLAG.match(following):
                next(remaining)
                value = following
            elif dotted or key in switches:
                value = "true"  # `--gen.conditional` without a value
            else:
                yield argument  # the parser reports the missing value
                continue
        yield from ("--set", f"{name if dotted else key}={value}")


def split_sampling(settings: Iterable[str] | None) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return sampling options by name, and keys and texts of the other settings. Raises ConfigError."""
    sampling, others = {}, []
    for setting in settings or ():
        key, equals, text = setting.partition("=")
        key = key.strip()
        if not equals or key in {"", SAMPLING.rstrip(".")}:
            raise ConfigError(f"invalid setting {setting!r}", fix="write key=value, such as sampling.truncation=0.7")
        if key.startswith(SAMPLING):
            sampling[key.removeprefix(SAMPLING).replace("-", "_")] = literal(text)
        else:
            others.append((key, text))
    return sampling, others


def sampling_options(settings: Iterable[str] | None) -> dict[str, Any]:
    """Return sampling options by name. Raises ConfigError if there are other settings."""
    sampling, others = split_sampling(settings)
    for key, text in others:
        raise ConfigError(f"invalid setting '{key}={text}'", fix="write sampling.OPTION=VALUE")
    return sampling


def _check_repeated(settings: Iterable[str], *, sweeps: bool) -> None:
    """Raise UsageError for several components where a run has one. The last value of other settings wins.

    If `sweeps`, the fix shows the sweep that compares the components.
    """
    names: dict[str, list[str]] = {}
    for setting in settings:
        key, _, name = setting.partition("=")
        if key in SINGLE and name not in names.setdefault(key, []):
            names[key].append(name)
    for key, chosen in names.items():
        if len(chosen) > 1:
            compared = f"; to compare them: ganforge sweep --{key} {','.join(chosen)}"
            fix = f"give it once{compared if sweeps and key in TRAINED else ''}"
            raise UsageError(f"--{key} has {len(chosen)} values: {', '.join(chosen)}", fix=fix)


def preset_layers(preset: str | None, files: list[Path] | None, registry: Registry) -> list[Layer]:
    """Return the layers of `--preset` and `--config`."""
    layers = [] if preset is None else [preset_layer(preset, registry)]
    return layers + [Layer(str(path), read_document(path)) for path in files or []]


class SettingsCommand(PlainCommand):
    """Command whose flags may be settings; its help lists the available components.

    Attributes:
        sections: Sections of the command, if it has no other settings; None for all settings of an experiment.
        sampling: Whether the command has sampling options of a generator, such as `--sampling.truncation 0.7`.
        own: Settings whose flags mean something else in this command.
    """

    sections: ClassVar[tuple[Section, ...] | None] = None
    sampling: ClassVar[bool] = False
    own: ClassVar[frozenset[str]] = frozenset()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click's own, vendored by typer or not
        """Rewrite the arguments, then parse them."""
        ctx.meta[ARGUMENTS] = list(args)
        keys = settings_of_experiment()
        if self.sections is not None:
            keys = frozenset((*self.sections, *(["sampling"] if self.sampling else [])))
        if ctx.resilient_parsing:
            return super().parse_args(ctx, list(as_settings(args, keys, self.own)))
        self._check_flags(ctx, args, keys)
        ctx.allow_extra_args = True
        super().parse_args(ctx, list(as_settings(args, keys, self.own)))
        _check_repeated(ctx.params.get("settings") or [], sweeps=self.sections is None)
        if ctx.args:
            raise UsageError(f"unexpected argument {ctx.args[0]!r}{self._as_flags(ctx.args)}")
        return []

    def _check_flags(self, ctx: Any, args: list[str], keys: Collection[str]) -> None:  # noqa: ANN401 - as above
        """Raise UsageError for an unknown flag, with ganforge's name for it, or the nearest."""
        declared = {option for parameter in self.params for option in (*parameter.opts, *parameter.secondary_opts)}
        settings = {f"--{key.replace('_', '-')}" for key in keys}
        for argument in itertools.takewhile(lambda argument: argument != "--", args):
            flag = argument.partition("=")[0]
            key = flag.removeprefix("--").partition(".")[0].replace("-", "_")
            if not flag.startswith("--") or flag in declared | HELP or key in keys:
                continue
            options = (f"--{name.replace('_', '-')}" for name in own_names(flag.removeprefix("--")))
            own = {option for option in options if option.partition(".")[0] in declared | settings}
            message = f"invalid option {flag!r}{did_you_mean_option(flag, own or declared | settings)}"
            raise UsageError(message, fix=f"{ctx.command_path} --help")

    def _as_flags(self, names: list[str]) -> str:
        """Return a hint for components that are named without flags."""
        if self.sections is not None:
            return ""
        registry, flags, free = Registry.discover(), [], ["gen", "disc", "loss", "data"]
        for name in names:
            flag = next((flag for flag in free if registry.get(FLAGS[flag], name) is not None), None)
            if flag is None:
                return "; components are named by flags, such as --gen dcgan --data mnist"
            free.remove(flag)
            flags.append(f"--{flag} {name}")
        return f"; did you mean {' '.join(flags)}?"

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:  # noqa: ANN401 - as above
        """Complete settings and options of the chosen components, in addition to the declared flags."""
        declared = super().shell_complete(ctx, incomplete)
        item = type(super().shell_complete(ctx, "-")[0])  # click's own, vendored by typer or not
        known = {completion.value for completion in declared}
        further = completions(ctx.meta[ARGUMENTS], incomplete, self.sections)
        return [*declared, *(item(name, help=text) for name, text in further if name not in known)]

    def help_sections(self, ctx: Any) -> dict[str, list[tuple[str, str]]]:  # noqa: ANN401 - as above
        """Add the installed components to the help, without importing torch."""
        sections, texts = super().help_sections(ctx), []
        try:
            registry = Registry.discover()
        except GanforgeError:  # a broken plugin in a strict environment; the command itself reports it
            return sections
        sections["Components"] = [
            (f"--{flag}", ", ".join(map(registry.name_of, registry.of_kind(kind))))
            for flag, kind in FLAGS.items()
            if (self.sections is None or flag in self.sections) and registry.of_kind(kind)
        ]
        if sections["Components"]:
            example = EXAMPLES[self.sections is None]
            texts.append(f"Options of components are flags, such as {example}; ganforge describe NAME lists them.")
        if self.sampling:
            texts.append("Sampling options of the generator are flags, such as --sampling.truncation 0.7.")
        if self.sections is None:
            texts.append(
                "Every other setting is a flag, too, such as --critic-steps 5, --optimizer.gen.lr 1e-4 or "
                "--schedules.term.r1.weight cosine."
            )
        self.epilog = " ".join(texts)
        return sections


class SamplingCommand(SettingsCommand):
    """Command whose flags may be sampling options of a generator."""

    sections: ClassVar[tuple[Section, ...] | None] = ()
    sampling: ClassVar[bool] = True
