"""Positions of a convolution's kernel on its input, which a parallel adapter must match.

Stored as plain numbers, so that an adapter holds no reference to the frozen layer.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Geometry:
    """Geometry of a convolution; pairs are (height, width), in pixels of its input.

    Attributes:
        padding: zeros on each side, or None if they depend on the input's size (TensorFlow's SAME).
    """

    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int] | None

    @classmethod
    def of(cls, conv: nn.Conv2d) -> "Geometry":
        """Geometry of a layer, including timm's Conv2dSame and similar ones."""
        # torch's 'same' is limited to stride 1, where the padding does not depend on the size.
        if conv.padding == "same" or type(conv).__name__.endswith("Same") or getattr(conv, "same_pad", False):
            padding = None
        elif conv.padding == "valid":
            padding = (0, 0)
        else:
            padding = tuple(conv.padding)
        return cls(tuple(conv.kernel_size), tuple(conv.stride), tuple(conv.dilation), padding)

    @property
    def has_centre(self) -> bool:
        """Whether the kernel has a centre element, and it lies inside the input for every output."""
        odd = all(size % 2 for size in self.kernel_size)
        return odd and (
            self.padding is None
            or all(2 * p <= d * (k - 1) for p, d, k in zip(self.padding, self.dilation, self.kernel_size))
        )

    def paddings(self, size_hw: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Zeros (before, after) that an input of `size_hw` gets, for height and for width."""
        pads = []
        for axis, size in enumerate(size_hw):
            if self.padding is not None:
                pads.append((self.padding[axis], self.padding[axis]))
                continue
            step, reach = self.stride[axis], self.dilation[axis] * (self.kernel_size[axis] - 1)
            total = max((-(-size // step) - 1) * step + reach + 1 - size, 0)
            pads.append((total // 2, total - total // 2))
        return pads[0], pads[1]

    def centres(self, inputs: Tensor, output_hw: tuple[int, int]) -> Tensor:
        """The input at the kernel's centre element, one position per output.

        With TensorFlow's SAME padding and stride 2 the centres are the odd rows of an even size and the even rows of
        an odd one, so they are computed for every size.

        Args:
            inputs: (N, C, H, W).
            output_hw: size of the convolution's output for it.

        Returns:
            (N, C, *output_hw), a view.
        """
        views = inputs
        for axis, (before, _) in enumerate(self.paddings(tuple(inputs.shape[2:]))):
            first = self.dilation[axis] * (self.kernel_size[axis] - 1) // 2 - before
            last = first + (output_hw[axis] - 1) * self.stride[axis]
            if first or self.stride[axis] > 1 or last + 1 < inputs.shape[2 + axis]:
                index = [slice(None)] * 4
                index[2 + axis] = slice(first, last + 1, self.stride[axis])
                views = views[tuple(index)]
        return views

    def padded(self, inputs: Tensor) -> Tensor:
        """`inputs` (N, C, H, W) with the zeros that the convolution adds."""
        (top, bottom), (left, right) = self.paddings(tuple(inputs.shape[2:]))
        return F.pad(inputs, (left, right, top, bottom)) if top or bottom or left or right else inputs
