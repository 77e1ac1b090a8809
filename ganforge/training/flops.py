"""Floating-point operations of convolutions and matrix products."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


@dataclass(frozen=True, slots=True)
class Flops:
    """Number of operations, and the part of it in grouped convolutions."""

    total: float = 0.0
    grouped: float = 0.0

    def __add__(self, other: Flops) -> Flops:
        return Flops(self.total + other.total, self.grouped + other.grouped)

    def __mul__(self, factor: float) -> Flops:
        return Flops(self.total * factor, self.grouped * factor)


class FlopCounter(TorchDispatchMode):
    """Mode that counts operations, forward and backward.

    torch's `FlopCounterMode` also tracks modules, which fails in gradients of gradients.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.flops = Flops()

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Permit compiled code, such as in `flex_attention`, and leave its operations out."""
        return True

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - any operator
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - as above
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        count: Callable[..., int] | None = None
        if isinstance(func, OpOverload):  # others, such as flex_attention, have no formula
            count = flop_registry.get(func._overloadpacket)  # noqa: SLF001 - as torch's counter does
        if count is not None:
            flops = count(*args, **kwargs, out_val=result)
            names = [argument.name for argument in func._schema.arguments]  # noqa: SLF001
            grouped = "groups" in names and args[names.index("groups")] > 1
            self.flops += Flops(flops, flops if grouped else 0)
        return result
