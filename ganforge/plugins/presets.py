"""Presets: named settings, the layer below those of the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ganforge.components.spec import NAME, is_line
from ganforge.errors import PluginError
from ganforge.plugins.sources import OWN_DISTRIBUTION, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Settings under a name, for `ganforge run --preset NAME`. They are validated when they are used.

    Attributes:
        name: Name that users type: lower-case letters and digits, joined by single dashes.
        summary: One line.
        settings: Settings, nested as in TOML, or TOML text.
        paper: Citation or address.

    Raises:
        ValueError: A field is malformed.
    """

    name: str
    summary: str
    settings: Mapping[str, Any] | str
    paper: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise ValueError(f"preset name {self.name!r} is not lower-case letters and digits joined by single dashes")
        for field, text in (("summary", self.summary), ("paper", self.paper or "")):
            if not is_line(text):
                raise ValueError(f"{field} of preset {self.name!r} is not one line of text: {text!r}")
        is_table_or_text = isinstance(self.settings, Mapping | str)
        if not is_table_or_text:
            raise ValueError(f"settings of preset {self.name!r} are neither a table nor TOML text: {self.settings!r}")


@dataclass(frozen=True, slots=True)
class PresetEntry:
    """Preset with its source."""

    preset: Preset
    source: Source

    @property
    def name(self) -> str:
        """Its bare name."""
        return self.preset.name

    @property
    def origin(self) -> str:
        """Origin of its settings, for the plan and for messages."""
        own = self.source.distribution == OWN_DISTRIBUTION
        return f"preset {self.name}" if own else f"preset {self.name} ({self.source})"

    def settings(self) -> Mapping[str, Any]:
        """Return its settings, nested as in TOML. Raises PluginError if their text is not TOML."""
        settings = self.preset.settings
        if not isinstance(settings, str):
            return settings
        import tomllib  # noqa: PLC0415 - lists do without

        try:
            return tomllib.loads(settings)
        except tomllib.TOMLDecodeError as error:
            raise PluginError(f"preset {self.name!r} ({self.source}) is not TOML: {error}") from None
