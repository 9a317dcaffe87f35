"""Run the exported model beside this file, with numpy and onnxruntime alone.

python run.py [INPUT] [OUTPUT.npy]

INPUT: an array (.npy) as the network takes it; or an image: .ppm, .pgm, a .npy of bytes (h, w) or (h, w, 3), or, where
Pillow is installed, any that it reads. Default: input.npy, a test input. OUTPUT.npy: where to write the output.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

GREY = (0.299, 0.587, 0.114)
LUMA = (65.481, 128.553, 24.966)


def read(path: Path) -> Any:
    """Read floats as the network takes them, or bytes (h, w) or (h, w, 3) of an image."""
    if path.suffix == ".npy":
        return np.load(path)
    content = path.read_bytes()
    if header := re.match(rb"(P[56])\s+(\d+)\s+(\d+)\s+255\s", content):
        width, height, channels = int(header[2]), int(header[3]), 3 if header[1] == b"P6" else 1
        pixels = np.frombuffer(content, np.uint8, width * height * channels, header.end())
        return pixels.reshape(height, width, channels)
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))


def prepare(image: Any, how: str, shape: list[Any], multiple: int) -> Any:
    """Turn bytes (h, w), (h, w, 1) or (h, w, 3) into a batch of one, as the network was trained on."""
    image = image.reshape(*image.shape[:2], -1)
    height, width = (side // multiple * multiple for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    pixels = image[top : top + height, left : left + width].astype(np.float64)
    grey = pixels.shape[2] == 1
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    if how == "rgb" or (how in ("pixels", "binary") and shape[1] == 3):
        channels = pixels.transpose(2, 0, 1)
    elif how == "luma" and not grey:
        channels = np.round(pixels @ np.array(LUMA) / 255 + 16)[None]
    else:
        channels = np.round(pixels @ np.array(GREY))[None]
    channels = channels >= 128 if how == "binary" else channels / 255
    batch = channels[None].astype(np.float32)
    for side, fixed in zip(batch.shape, shape, strict=True):
        if isinstance(fixed, int) and side != fixed:
            sys.exit(f"the network takes inputs of shape {shape}, and the image has {list(batch.shape)}")
    return batch


def main() -> None:
    """Run the model on an input and print what it was and what came out."""
    folder = Path(__file__).resolve().parent
    (model,) = folder.glob("*.onnx")
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    interface = session.get_inputs()[0]
    values = read(Path(sys.argv[1]) if len(sys.argv) > 1 else folder / "input.npy")
    if values.dtype == np.uint8:
        if metadata["prepare"] == "array":
            sys.exit(f"the network takes an array of shape {interface.shape}, not an image")
        values = prepare(values, metadata["prepare"], interface.shape, int(metadata["multiple"]))
    output = session.run(None, {interface.name: values.astype(np.float32)})[0]
    print(f"input  {values.shape}, {values.min():.4f} to {values.max():.4f}")
    print(f"output {output.shape}, {output.min():.4f} to {output.max():.4f}, mean {output.mean():.4f}")
    if classes := json.loads(metadata["classes"]):
        likely = np.exp(output - output.max(axis=1, keepdims=True))
        likely /= likely.sum(axis=1, keepdims=True)
        for number, row in enumerate(likely):
            best = row.argsort()[::-1][:3]
            print(f"example {number}: " + ", ".join(f"{classes[i]} ({100 * row[i]:.1f}%)" for i in best))
    if len(sys.argv) > 2:
        np.save(sys.argv[2], output)


if __name__ == "__main__":
    main()
