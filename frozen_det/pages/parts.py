"""Parts of a Markdown page that a command writes, each between two comments; what people wrote around them stays."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..weights.atomic_write import write_text


@dataclass(frozen=True)
class Part:
    """A part of a page.

    Attributes:
        name: a word or two, of one part on a page.
        command: that writes it.
    """

    name: str
    command: str

    @property
    def begin(self) -> str:
        """The comment before it."""
        return f"<!-- {self.name}: made by {self.command} -->"

    @property
    def end(self) -> str:
        """The comment after it."""
        return f"<!-- end of {self.name} -->"

    def around(self, text: str) -> str:
        """A text with the comments."""
        return f"{self.begin}\n\n{text.strip()}\n\n{self.end}\n"

    def of(self, page: str) -> str:
        """The part of a page's text, comments included; empty where it has none.

        Raises:
            InputError: one comment without the other, one twice, or the end before the beginning.
        """
        place = self._place(page, "the page")
        return page[place] + "\n" if place else ""

    def write(self, path: Path, text: str, title: str) -> None:
        """Put a text into a page, in the part's place or at the end.

        Args:
            path: a Markdown file; made where there is none.
            text: Markdown without the comments.
            title: of a page that is made.

        Raises:
            InputError: as :meth:`of`.
        """
        page = path.read_text(encoding="utf-8") if path.is_file() else f"# {title}\n"
        new, place = self.around(text), self._place(page, path)
        if place:
            page = page[: place.start] + new + page[place.stop :].removeprefix("\n")
        else:
            page = f"{page.rstrip()}\n\n{new}"
        write_text(path, page)

    def _place(self, page: str, name: object) -> slice | None:
        """Where the part stands in a page's text, without the line's end; `name` is the page's."""
        begins, ends = _lines_with(self.begin, page), _lines_with(self.end, page)
        if not begins and not ends:
            return None
        start, stop = page.find(self.begin), page.find(self.end)
        if len(begins) != 1 or len(ends) != 1 or stop < start:
            raise InputError(
                f"expected {self.begin} once and {self.end} once after it, got the first {_told(begins)} and the "
                f"second {_told(ends)} of {name}. Put both around the part, or remove both."
            )
        return slice(start, stop + len(self.end))


def _lines_with(comment: str, page: str) -> list[int]:
    """Numbers of the lines, one as often as the comment stands in it."""
    return [number for number, line in enumerate(page.split("\n"), 1) for _ in range(line.count(comment))]


def _told(lines: list[int]) -> str:
    return f"in line {' and '.join(map(str, lines))}" if lines else "nowhere"
