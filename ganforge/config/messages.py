"""Messages about invalid values of settings."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from ganforge.utils.schema import excerpt, model_at
from ganforge.utils.suggest import did_you_mean


def validation_message(prefix: str, error: ValidationError, model: type[BaseModel], origins: Mapping[str, str]) -> str:
    """Return pydantic's errors as one line: the key, its origin, the problem, and the nearest valid key."""
    messages = []
    for finding in error.errors(include_url=False):
        path = [str(part) for part in finding["loc"]]
        key = ".".join([prefix, *path] if prefix else path)
        origin = origins.get(key) or next((origins[name] for name in origins if key.startswith(f"{name}.")), None)
        suffix = f" ({origin})" if origin else ""
        if finding["type"] == "extra_forbidden":
            noun = "no option" if prefix or len(path) > 1 else "invalid setting"
            fields = model_at(model, path[:-1]).model_fields
            messages.append(f"{noun} {path[-1]!r}{suffix}{did_you_mean(path[-1], fields)}")
        elif finding["type"] == "missing":
            messages.append(f"{key} must be given, such as --{key} VALUE")
        else:
            reason = finding["msg"].removeprefix("Value error, ")
            value = excerpt(repr(finding["input"]))
            messages.append(f"{key} = {value}{suffix}: {reason[:1].lower()}{reason[1:]}" if key else reason)
    return "; ".join(messages)
