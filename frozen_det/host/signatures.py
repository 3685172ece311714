"""What a class takes: the names of its constructor's arguments, through `**kwargs` up the class hierarchy."""

import dis
import inspect
from functools import lru_cache


def accepted_arguments(built) -> set[str] | None:
    """Names of all constructor arguments; None if it takes anything."""
    names, all_of_them = argument_names(built)
    return set(names) if all_of_them else None


@lru_cache(maxsize=4096)
def argument_names(built) -> tuple[frozenset[str], bool]:
    """Names of all constructor arguments, through `**kwargs` up the class hierarchy.

    Returns:
        the names, and whether they are all: False for a type that takes any other name as well.
    """
    if not inspect.isclass(built):
        parameters = list(inspect.signature(built).parameters.values())
        return (
            frozenset(p.name for p in parameters) | _former_names(built),
            not any(p.kind is p.VAR_KEYWORD for p in parameters),
        )
    names: set[str] = set()
    closed, several = True, False
    for cls in built.__mro__:
        maker = cls.__dict__.get("__init__") or cls.__dict__.get("__new__")
        maker = getattr(maker, "__func__", maker)
        if cls is object or not callable(maker):
            continue
        parameters = list(inspect.signature(maker).parameters.values())[1:]
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        names |= _former_names(maker)
        several = several or len(cls.__bases__) > 1  # which of them gets the rest cannot be seen: any may
        rest = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
        if rest is None and not several:
            return frozenset(names), closed
        if rest is not None and not _hands_on(maker, rest):
            closed = False  # takes any name and ignores it
    return frozenset(names), closed and several


def _hands_on(maker, rest: str) -> bool:
    """Whether a constructor does anything with its `**rest`."""
    code = getattr(inspect.unwrap(maker), "__code__", None)
    return code is None or any(
        step.opname.startswith("LOAD_") and rest in (step.argval if isinstance(step.argval, tuple) else (step.argval,))
        for step in dis.get_instructions(code)
    )


@lru_cache(maxsize=4096)
def parameters_of(built) -> dict[str, inspect.Parameter]:
    """The parameters by name, the most derived class's first."""
    found: dict[str, inspect.Parameter] = {}
    for cls in built.__mro__ if inspect.isclass(built) else [built]:
        maker = cls.__dict__.get("__init__") if inspect.isclass(cls) else cls
        if cls is object or not inspect.isfunction(maker):
            continue
        parameters = inspect.signature(maker).parameters
        for name, parameter in parameters.items():
            found.setdefault(name, parameter)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            break
    return found


def _former_names(maker) -> set[str]:
    """Old names that a constructor still takes and renames (mmcv's `deprecated_api_warning`)."""
    names: set[str] = set()
    while hasattr(maker, "__wrapped__"):
        for cell in maker.__closure__ or ():
            held = cell.cell_contents
            if isinstance(held, dict) and held and all(isinstance(one, str) for pair in held.items() for one in pair):
                names |= set(held)
        maker = maker.__wrapped__
    return names


def argument_of(built, name: str) -> inspect.Parameter | None:
    """A constructor argument as the first class up the hierarchy that names it has it; None where none does."""
    return parameters_of(built).get(name)


def subclasses_of(kind: type) -> list[type]:
    """A class and all that inherit from it, at any depth."""
    found = [kind]
    for one in found:  # grows
        found += one.__subclasses__()
    return found
