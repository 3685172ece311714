"""The protocol of a study: one registered class that owns its options, how it runs, and its part of the page.

    @STUDIES.register_module(name="blur")
    class Blur(Study):
        title, axes, about = "Blurred", ("sigma, px", "top-1, %"), "Top-1 on blurred images; more is better."

        @dataclass(frozen=True)
        class Options:
            sigma: float = option(2.0, "of the blur, px (default: 2)")

        def run(self, classifier, images, options, setting) -> Measured: ...

``frozen-det analyze`` lists and parses from the registry, so nothing else changes.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import ClassVar

from ..errors import InputError, closest
from ..pages.plots import Curve
from ..registry import STUDIES
from .bootstrap import Measured
from .candidates import Candidate, StudyClassifier, StudyImages


def option(default, help: str, flag: str | None = None, **settings):
    """A field of a study's options and its command-line flag.

    Args:
        default: of the field; a tuple takes several values, False makes a switch.
        help: for the command line.
        flag: of the command line; by default the field's name with dashes. One that is taken already gets the study's
            name in front.
        settings: further arguments of :meth:`argparse.ArgumentParser.add_argument`.
    """
    if default is False:
        settings["action"] = "store_true"
    elif isinstance(default, tuple):
        settings |= dict(nargs="+", default=list(default))
    else:
        settings["default"] = default
    return field(default=default, metadata=dict(flag=flag, settings=settings | dict(help=help)))


@dataclass(frozen=True)
class Setting:
    """What all studies of a run share.

    Attributes:
        candidate: whose classifier it is.
        num_images: number of test images; None: all.
        seed: of images, noise, pairs and resamples.
        out: folder of all results, for what a study writes besides its numbers.
        log: takes a line about the progress.
    """

    candidate: Candidate
    num_images: int | None
    seed: int
    out: Path
    log: Callable[[str], None]


class Study:
    """One study of classifiers. A subclass says what it is and implements :meth:`run`.

    Attributes:
        name: under which it is registered.
        title: of its section on the page.
        axes: names of the x and y axis of its curves.
        about: what its numbers mean, one or two sentences above its table.
        version: raised whenever the same inputs would give other numbers.
        rows: numbers that get a row in the table, in this order, ``*`` at the start for any beginning; None: all. The
            others are in the JSON files.
        ranked: (number, whether more is better) of those that the ranking of candidates counts.
        leads_ranking: whether they come first there: numbers of unchanged images.
        targets: number -> what to call it, of those that the ranking correlates all others with.
        published: number -> recipe -> difference from the plain recipe that a paper reports.
    """

    title: ClassVar[str]
    axes: ClassVar[tuple[str, str]] = ("", "")
    about: ClassVar[str] = ""
    version: ClassVar[int] = 1
    rows: ClassVar[Sequence[str] | None] = None
    ranked: ClassVar[Sequence[tuple[str, bool]]] = ()
    leads_ranking: ClassVar[bool] = False
    targets: ClassVar[Mapping[str, str]] = {}
    published: ClassVar[Mapping[str, Mapping[str, float]]] = {}

    @dataclass(frozen=True)
    class Options:
        """Settings that this study alone has; its results depend on them."""

    def __init__(self, name: str):
        self.name = name

    def run(self, classifier: StudyClassifier, images: StudyImages, options, setting: Setting) -> Measured:
        """Measure one classifier.

        Args:
            classifier: the candidate's, in eval mode.
            images: the candidate's test images.
            options: this study's :attr:`Options`.
            setting: what all studies share.

        Raises:
            InputError: options that do not fit.
        """
        raise NotImplementedError

    def is_part_of_all(self, options) -> bool:
        """Whether ``all`` runs it; a study that needs data of its own says whether they are given."""
        return True

    def ranked_numbers(self, found: Iterable[Measured]) -> Sequence[tuple[str, bool]]:
        """(number, whether more is better) for the ranking, of what was measured."""
        return self.ranked

    def number_words(self, name: str) -> str:
        """A stored number's name as the page writes it."""
        return name

    def reference_curves(self) -> list[Curve]:
        """Curves that its pictures show beside those of the candidates."""
        return []

    def shows(self, number: str) -> bool:
        """Whether a number gets a row in the table."""
        ends = [one[1:] for one in self.rows or () if one.startswith("*")]
        return self.rows is None or number in self.rows or number.endswith(tuple(ends) or ("\0",))


def studies() -> dict[str, Study]:
    """All registered studies by name, this package's first."""
    STUDIES.import_from_location()
    return {name: study(name) for name, study in STUDIES.module_dict.items()}


@dataclass(frozen=True)
class StudyOptions:
    """Settings of a run.

    Attributes:
        num_images: test images of the candidates' config; None: all.
        seed: of the images, noise, pairs and resamples.
        own: study -> its :attr:`Study.Options`; those of a study that is not there are the defaults.
    """

    num_images: int | None = 1000
    seed: int = 0
    own: Mapping[str, object] = field(default_factory=dict)

    def of(self, study: Study):
        """The options of one study."""
        return self.own.get(study.name) or study.Options()


def chosen_studies(words: str, options: StudyOptions | None = None) -> tuple[str, ...]:
    """Studies by name, or what `all` means: those without data of their own, and those whose data are given.

    Args:
        words: a name, several with commas between them, or ``all``.
        options: which data are given.

    Raises:
        InputError: an unknown name.
    """
    known, names = studies(), tuple(dict.fromkeys(words.split(",")))
    if names == ("all",):
        options = options or StudyOptions()
        return tuple(name for name, study in known.items() if study.is_part_of_all(options.of(study)))
    for name in names:
        if name not in known:
            raise InputError(
                f"expected STUDY as some of {', '.join(known)} with commas between them, or all, got "
                f"{name!r}; {closest(name, known)}".rstrip("; ")
                + "."
            )
    return names


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command line's flags of all studies, a group for each."""
    for name, study in studies().items():
        group = parser.add_argument_group(name) if fields(study.Options) else None
        for one in fields(study.Options):
            flag = one.metadata["flag"] or f"--{one.name.replace('_', '-')}"
            if flag in parser._option_string_actions:
                flag = f"--{name}-{flag.removeprefix('--')}"
            group.add_argument(flag, dest=_destination(name, one.name), **one.metadata["settings"])


def parsed_options(args: argparse.Namespace) -> dict[str, object]:
    """Study -> its options, from what :func:`add_options` parsed."""
    found = {}
    for name, study in studies().items():
        given = {one.name: getattr(args, _destination(name, one.name)) for one in fields(study.Options)}
        found[name] = study.Options(**{key: tuple(v) if isinstance(v, list) else v for key, v in given.items()})
    return found


def _destination(study: str, option_name: str) -> str:
    return f"{study}.{option_name}"
