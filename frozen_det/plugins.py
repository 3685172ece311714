"""Parts of other packages: the entry-point group ``frozen_det.plugins``, loaded when a registry is first used.

A package declares modules whose import registers its parts (backbone sources, adapters, studies, any registered type):

    [project.entry-points."frozen_det.plugins"]
    my_package = "my_package.frozen_det_parts"

A plugin that fails to load is named in one line on the log and left out; what does not need it goes on.
"""

import logging
from importlib.metadata import entry_points

GROUP = "frozen_det.plugins"

#: Name of a plugin -> why it could not be loaded.
failed: dict[str, str] = {}
_started = False


def load_plugins() -> None:
    """Import what the plugins declare, once in a process."""
    global _started
    if _started:
        return
    _started = True  # before the imports: a plugin's own module asks registries too
    for point in sorted(entry_points(group=GROUP), key=lambda one: one.name):
        try:
            point.load()
        except Exception as error:  # any package may declare a plugin; none may stop the others
            first = (str(error).strip() or "no message").splitlines()[0]
            failed[point.name] = f"{type(error).__name__}: {first}"
            package = f" of the package {point.dist.name}" if point.dist is not None else ""
            logging.getLogger(GROUP).warning(
                "plugin %r (%s)%s could not be loaded and is left out: %s. Update or uninstall that package.",
                point.name,
                point.value,
                package,
                failed[point.name],
            )
