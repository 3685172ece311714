"""What a class takes: the names of its constructor's arguments, through `**kwargs` up the class hierarchy."""

import inspect


def accepted_arguments(built) -> set[str] | None:
    """Names of all constructor arguments, through `**kwargs` up the class hierarchy; None if it takes anything."""
    if not inspect.isclass(built):
        parameters = inspect.signature(built).parameters.values()
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            return None
        return {p.name for p in parameters}
    names = set()
    for cls in built.__mro__:
        maker = cls.__dict__.get("__init__") or cls.__dict__.get("__new__")
        if cls is object or maker is None or not callable(getattr(maker, "__func__", maker)):
            continue
        parameters = list(inspect.signature(getattr(maker, "__func__", maker)).parameters.values())[1:]
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return names
    return None
