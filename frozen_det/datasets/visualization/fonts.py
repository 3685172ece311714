"""A font that has the letters of a text: DejaVu, which comes with matplotlib, else one that the machine has.

DejaVu has Latin, Greek, Cyrillic, Arabic and Hebrew, not the scripts of East and South Asia.
"""

import warnings
from functools import cache
from pathlib import Path


def font_for(text: str, size_px: int):
    """The font of Pillow to draw a text with; None where no font of the machine has all its letters."""
    from PIL import ImageFont

    path = _file_with(frozenset(char for char in text if not char.isspace()))
    if path is None:
        return None
    return _loaded(ImageFont.truetype, path, size_px)


def plain_font(size_px: int):
    """DejaVu."""
    font = font_for("", size_px)
    assert font is not None
    return font


@cache
def tell_of_missing_font(text: str) -> None:
    """Warn, once for a text, that it cannot be drawn."""
    warnings.warn(
        f"no font on this machine has the letters of {text!r}: pictures show the number of the class in its place; "
        "install one that does (fonts-noto-cjk has East Asia's).",
        stacklevel=2,
    )


@cache
def _loaded(open_font, path: Path, size_px: int):
    return open_font(str(path), size_px)


@cache
def _file_with(letters: frozenset[str]) -> Path | None:
    codes = {ord(char) for char in letters}
    return next((path for path in _files() if codes <= _letters_of(path)), None)


@cache
def _files() -> tuple[Path, ...]:
    """DejaVu first, then the machine's own, regular faces before bold and slanted ones."""
    import matplotlib
    from matplotlib.font_manager import findSystemFonts

    own = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    found = sorted(map(Path, findSystemFonts()), key=lambda path: ("Regular" not in path.stem, path.stem, str(path)))
    return own, *found


@cache
def _letters_of(path: Path) -> frozenset[int]:
    """Code points that a font has; none for a file that cannot be read."""
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(str(path)).get_charmap())
    except (RuntimeError, OSError):
        return frozenset()
