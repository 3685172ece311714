"""Parts of a Markdown page that a command writes, each between two comments; what people wrote around them stays."""

from dataclasses import dataclass
from pathlib import Path

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
        """The part of a page's text, comments included; empty where it has none."""
        if self.begin not in page or self.end not in page:
            return ""
        return page[page.index(self.begin) : page.index(self.end) + len(self.end)] + "\n"

    def write(self, path: Path, text: str, title: str) -> None:
        """Put a text into a page, in the part's place or at the end.

        Args:
            path: a Markdown file; made where there is none.
            text: Markdown without the comments.
            title: of a page that is made.
        """
        page = path.read_text(encoding="utf-8") if path.is_file() else f"# {title}\n"
        new, old = self.around(text), self.of(page)
        write_text(path, page.replace(old, new) if old else f"{page.rstrip()}\n\n{new}")
