"""Random changes of images in training."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def random_shifts(images: Tensor, rng: torch.Generator) -> Tensor:
    """Each image moved by up to an eighth of its side in each direction, zeros where it was.

    Args:
        images: (batch, channels, h, w).
        rng: On the CPU.
    """
    batch, _, height, width = images.shape
    reach = max(1, min(height, width) // 8)
    padded = F.pad(images, (reach,) * 4)
    dy, dx = torch.randint(2 * reach + 1, (2, batch), generator=rng).to(images.device)
    rows = dy[:, None, None] + torch.arange(height, device=images.device)[None, :, None]
    columns = dx[:, None, None] + torch.arange(width, device=images.device)[None, None, :]
    return padded[torch.arange(batch, device=images.device)[:, None, None], :, rows, columns].permute(0, 3, 1, 2)
