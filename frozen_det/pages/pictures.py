"""Pictures for a page that needs no other file: shrunk, as JPEG, in base64."""

import base64
import io
from pathlib import Path

from ..errors import InputError


def data_uri(path: Path, max_width_px: int = 1300, quality: int = 74) -> str:
    """A picture as ``data:image/jpeg;base64,...``, at most ``max_width_px`` wide.

    Raises:
        InputError: a file that is no picture.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"expected a picture, got {path}, which cannot be read ({error})") from error
    if image.width > max_width_px:
        image = image.resize(
            (max_width_px, max(1, round(image.height * max_width_px / image.width))), Image.Resampling.LANCZOS
        )
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
