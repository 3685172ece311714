"""What the checkpoint of a new member says it extends: another detector, by the digests of its frozen base and decoder.

The decoder is all that a checkpoint holds beside the frozen base: adapters, neck and heads.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from .digest import BASE_DIGEST, Fingerprint, canonical, fingerprint
from .loading import meta_of

KEY = "extends"  # in a checkpoint's meta


@dataclass(frozen=True)
class Extended:
    """The detector that a member extends.

    Attributes:
        file: its checkpoint, as it was called.
        classes: its class names, by label.
        base: digest of the frozen tensors of each of its backbones, by module name.
        decoder: of its other tensors.
    """

    file: str
    classes: tuple[str, ...]
    base: Mapping[str, str]
    decoder: Fingerprint

    @classmethod
    def of(
        cls, file: str, classes: Collection[str], state: Mapping, frozen: Mapping[str, Collection[str]]
    ) -> "Extended":
        """Of a detector's tensors.

        Args:
            file, classes: see above.
            state: its state dict, lean or full.
            frozen: names of the frozen tensors of each backbone, as in the wrapped network, by the backbone's name.
        """
        base, left = {}, dict(state)
        for name, tensors in frozen.items():
            digest = left.pop(f"{name}.{BASE_DIGEST}", None)
            places = {f"{name}.body.{one}": one for one in map(canonical, tensors)}
            own = {places[canonical(key)]: left.pop(key) for key in list(left) if canonical(key) in places}
            base[name] = fingerprint(own).digest if digest is None else bytes(digest.tolist()).hex()
        return cls(file, tuple(classes), base, fingerprint(left))

    def to_meta(self) -> dict[str, Any]:
        """Plain values, for a checkpoint's meta."""
        decoder = {"digest": self.decoder.digest, "tensors": dict(self.decoder.tensors)}
        return {"file": self.file, "classes": list(self.classes), "base": dict(self.base), "decoder": decoder}

    @classmethod
    def in_meta(cls, checkpoint: Mapping, where: str) -> "Extended | None":
        """What a checkpoint says; None for one that extends nothing.

        Raises:
            InputError: something stands there that no training wrote.
        """
        found = meta_of(checkpoint, where).get(KEY)
        if found is None:
            return None
        try:
            decoder = Fingerprint(str(found["decoder"]["digest"]), dict(found["decoder"]["tensors"]))
            return cls(str(found["file"]), tuple(map(str, found["classes"])), dict(found["base"]), decoder)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"expected what it extends in the meta of {where} ({KEY}), as `frozen-det extend` writes it, got "
                f"{str(found)[:80]}: the file was changed. Use it as it was written."
            ) from error
