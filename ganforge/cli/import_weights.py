"""Command `ganforge import-weights`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganforge.cli._options import Force, Json, out_option
from ganforge.cli._output import check_output_path, next_command, print_result
from ganforge.cli._printer import escape


def import_weights(
    file: Annotated[Path, typer.Argument(metavar="FILE.pth", help="Weights that torch.save has written.")],
    out_path: Annotated[Path | None, out_option("FILE", "File to write (FILE.safetensors).")] = None,
    generator: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Key of the generator in a file of several networks, such as g_ema."),
    ] = None,
    discriminator: Annotated[
        str | None, typer.Option(metavar="KEY", help="Key of the discriminator in a file of several networks.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Convert PyTorch's pickled weights to safetensors for --init, without running the file's code."""
    from ganforge.runs.import_weights import read_pickled_weights, select_networks, write_weights

    target = out_path or file.with_suffix(".safetensors")
    check_output_path(target, force=force)
    tensors = select_networks(read_pickled_weights(file), {"generator": generator, "discriminator": discriminator})
    write_weights(tensors, target)
    total = sum(value.numel() for value in tensors.values())
    print_result(
        {"file": str(target), "tensors": {name: list(value.shape) for name, value in tensors.items()}},
        f"[bold]{escape(target)}[/]: {len(tensors)} tensors, {total:,} numbers",
        f"start from them: {escape(next_command('run', '--init', target))}",
        json=json,
    )
