"""Image quality as the restoration literature measures it; all images are float in [0, 1]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# ITU-R BT.601 as MATLAB's rgb2ycbcr computes it: Y in [16, 235] of 255.
LUMA_WEIGHTS = (65.481, 128.553, 24.966)
LUMA_OFFSET = 16.0
SSIM_WINDOW = 11
"""Side of the window of SSIM in pixels, and the smallest side of a picture."""


def to_8_bits(images: Tensor) -> Tensor:
    """Round images in [0, 1] to the 256 levels of an image file."""
    return (images.clamp(0, 1) * 255).round() / 255


def luma(images: Tensor) -> Tensor:
    """Convert (..., 3, h, w) RGB to (..., 1, h, w) luma, rounded to 8 bits as MATLAB does for 8-bit images.

    One channel is taken as luma in the full range. By convention three are converted, whether they differ or not.
    """
    if images.shape[-3] == 1:
        return to_8_bits(images)
    weights = torch.tensor(LUMA_WEIGHTS, device=images.device).view(3, 1, 1)
    return to_8_bits(((images * weights).sum(-3, keepdim=True) + LUMA_OFFSET) / 255)


def grey(images: Tensor) -> Tensor:
    """Convert (..., 3, h, w) RGB to (..., 1, h, w) grey (BT.601), rounded to 8 bits; one channel is rounded alone."""
    if images.shape[-3] == 1:
        return to_8_bits(images)
    weights = torch.tensor((0.299, 0.587, 0.114), device=images.device).view(3, 1, 1)
    return to_8_bits((images * weights).sum(-3, keepdim=True))


def upscale(images: Tensor, scale: int) -> Tensor:
    """Enlarge images (n, channels, h, w) by an integer factor, as MATLAB's bicubic imresize does."""
    # antialias selects MATLAB's kernel (a = −0.5).
    return F.interpolate(images, scale_factor=scale, mode="bicubic", antialias=True, align_corners=False)


def downscale(images: Tensor, scale: int) -> Tensor:
    """Shrink images (n, channels, h, w) by 1/scale as MATLAB's bicubic imresize does, antialiased, rounded to 8 bits.

    Both sides must be multiples of ``scale``.
    """
    height, width = images.shape[-2] // scale, images.shape[-1] // scale
    small = F.interpolate(images, size=(height, width), mode="bicubic", antialias=True, align_corners=False)
    return to_8_bits(small)


def shave(images: Tensor, border: int) -> Tensor:
    """Return images (..., h, w) without ``border`` pixels on each side."""
    return images[..., border : images.shape[-2] - border, border : images.shape[-1] - border]


def psnr(image: Tensor, target: Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB of one image (1, channels, h, w), clipped to [0, 1]."""
    from torchmetrics.functional.image import peak_signal_noise_ratio  # slow to import

    return float(peak_signal_noise_ratio(image.clamp(0, 1), target, data_range=1.0))


def psnrs(images: Tensor, targets: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each row of a batch (n, …), at most 100, in dB: (n,)."""
    error = (images.clamp(0, 1) - targets.clamp(0, 1)).square().flatten(1).mean(1)
    return -10 * error.clamp_min(1e-10).log10()


def ssim(image: Tensor, target: Tensor) -> float:
    """Return the structural similarity of one image (1, channels, h, w).

    The window is Gaussian, 11×11, σ = 1.5 (Wang et al. 2004). The result is the mean over all positions of
    the window inside the image, as in the paper; both sides must be at least 11.
    """
    from skimage.metrics import structural_similarity  # slow to import

    # Double precision, for differences of squares; torchmetrics would take the mean over reflected borders as well.
    restored, original = (x[0].double().cpu().numpy() for x in (image.clamp(0, 1), target))
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    return float(structural_similarity(restored, original, channel_axis=0, **options))
