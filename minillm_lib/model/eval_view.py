"""A model in eval mode, without changing the model: others may be using it at the same time."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def in_eval_mode(model: Model) -> Model:
    """Return a model that computes as ``model`` would after ``model.eval()``, with the same weights.

    ``model.eval()`` sets a flag of every module, which other threads read: a text that is being generated there would
    begin to use dropout, or a training step would cease to. Here, no flag is changed. Where all flags are off already,
    the result is the model itself. Otherwise, modules whose flag is on, or that contain such a module, are replaced by
    shallow copies: parameters, buffers and hooks are the same objects, and what a ``forward`` assigns to an attribute
    of its module is assigned to the module too.

    Parameters
    ----------
    model
        Any module; compiled blocks compute uncompiled in the copy.
    """
    return _quiet(model, {})  # type: ignore[return-value]


def _quiet(module: nn.Module, known: dict[nn.Module, nn.Module]) -> nn.Module:
    """Return a module itself or a copy; one that is in several places has one copy, which ``known`` holds."""
    if module not in known:
        children = {
            name: child if child is None else _quiet(child, known) for name, child in module._modules.items()
        }
        is_same = all(child is module._modules[name] for name, child in children.items())
        known[module] = module if is_same and not module.training else _copy(module, children)
    return known[module]


def _copy(module: nn.Module, children: dict[str, nn.Module | None]) -> nn.Module:
    """Return a shallow copy of a module, in eval mode, with other children."""
    copy = object.__new__(_kind_of_copy(type(module)))  # type: ignore[arg-type]  # a class is hashable
    # The compiled call, as torch.nn.Module.compile sets it, is bound to the module itself.
    known = {name: value for name, value in vars(module).items() if name != "_compiled_call_impl"}
    vars(copy).update(known | {"_modules": children, "training": False, "_copy_of": module})
    return copy


@cache
def _kind_of_copy(kind: type[nn.Module]) -> type[nn.Module]:
    """Return a subclass whose attributes, when they are assigned, become those of the module that was copied too."""

    def assign(self: nn.Module, name: str, value: Any) -> None:
        module = vars(self)["_copy_of"]
        setattr(module, name, value)
        if name in vars(module) and name != "training":
            vars(self)[name] = value

    return type(kind.__name__, (kind,), {"__setattr__": assign, "__module__": kind.__module__})
