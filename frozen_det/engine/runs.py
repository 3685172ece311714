"""A Runner that shares nothing with the runs before it in the same process."""


def new_runner(cfg):
    """mmengine's Runner for a config.

    mmengine keeps one visualizer for each name, and configs give all theirs the same name: a second run in one
    process (training, then its evaluation; the stages of a chain) would write its log, curves and config into the
    folder of the first. The old one is let go of.
    """
    from mmengine.runner import Runner

    visualizer = cfg.get("visualizer")
    if isinstance(visualizer, dict):
        _forget_visualizer(visualizer.get("name") or cfg.get("experiment_name"))
    return Runner.from_cfg(cfg)


def _forget_visualizer(name: str | None) -> None:
    from mmengine.visualization import Visualizer

    kinds = [Visualizer]
    for kind in kinds:  # grows: subclasses of subclasses
        kinds += kind.__subclasses__()
        old = kind._instance_dict.pop(name, None)
        if old is not None:
            old.close()
