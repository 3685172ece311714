"""A digest of frozen weights that is the same wherever they are stored, and names the first tensor that differs.

Taken over what is stable: persistent state-dict entries under canonical names (wrappers' `module.` and `_orig_mod.`
stripped), their dtype, shape and contiguous CPU bytes. Non-persistent buffers are left out: Swin's differ between
input sizes although no weight does.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

# Under this name a lean checkpoint carries the digest of the frozen base that it leaves out: (32,) uint8.
BASE_DIGEST = "base_digest"


def canonical(name: str) -> str:
    """A state-dict key without the parts that wrappers add (`DataParallel`, `torch.compile`)."""
    return ".".join(part for part in name.split(".") if part not in ("module", "_orig_mod"))


@dataclass(frozen=True)
class Fingerprint:
    """Digest of a set of named tensors.

    Attributes:
        digest: SHA-256 over all tensors, as hex.
        tensors: canonical name -> SHA-256 (hex) of that tensor alone.
    """

    digest: str
    tensors: Mapping[str, str]

    def first_difference(self, other: "Fingerprint") -> str | None:
        """Name of the first tensor (in name order) that differs from `other`, or None if all are equal."""
        for name in sorted(set(self.tensors) | set(other.tensors)):
            if self.tensors.get(name) != other.tensors.get(name):
                return name
        return None

    def first_difference_of(self, part: "Fingerprint") -> str | None:
        """Name of the first tensor of `part` that is here with another digest, or not at all; None if all agree."""
        return next((name for name in sorted(part.tensors) if self.tensors.get(name) != part.tensors[name]), None)

    def agrees_on(self, part: "Fingerprint") -> bool:
        """Whether every tensor of `part` is here with the same digest."""
        return self.first_difference_of(part) is None


def fingerprint(tensors: Mapping) -> Fingerprint:
    """Digest of `{name: tensor}`; names are made canonical, order does not matter.

    Two names that become equal once canonical would hide a tensor, so that is an assertion.
    """
    single = {}
    for name, tensor in tensors.items():
        key = canonical(name)
        assert key not in single, f"two tensors share the canonical name {key}"
        single[key] = _tensor_digest(tensor)
    whole = hashlib.sha256()
    for key in sorted(single):
        whole.update(f"{key}={single[key]}\n".encode())
    return Fingerprint(whole.hexdigest(), single)


def _tensor_digest(tensor) -> str:
    import torch

    value = tensor.detach().to("cpu").contiguous()
    head = f"{value.dtype}|{tuple(value.shape)}|".encode()
    digest = hashlib.sha256(head)
    if value.numel():
        # A byte view works for every dtype, bfloat16 included, without a copy.
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
