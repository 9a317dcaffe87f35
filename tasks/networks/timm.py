"""Classifiers of timm."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field
from torch import nn

from distillbench.tasks.networks.base import Ends, Network, UnfitError, refusal
from distillbench.tasks.networks.torchvision import without


def _model_name(model: str) -> str:
    if find_spec("timm") is None:
        raise refusal("timm is not installed: pip install 'distillbench[timm]'")
    from timm import list_models  # seconds to import

    if model not in (names := list_models()):
        close = get_close_matches(model, names, n=1)
        guess = f"; did you mean {close[0]!r}?" if close else ""
        message = f"unknown model {model!r}{guess} (allowed: the {len(names)} of timm.list_models())"
        raise refusal(message)
    return model


class Timm(Network):
    """A classifier of timm (the extra [timm]), its weights drawn anew, with as many channels as the images have."""

    name: Literal["timm"] = "timm"
    kinds: ClassVar[frozenset[str]] = frozenset({"classifier"})
    model: Annotated[str, AfterValidator(_model_name)] = Field(description="as timm names it")
    arguments: Annotated[
        dict[str, Any],
        without("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"),
    ] = Field({}, description="of timm.create_model, as {img_size = 32}")

    def load(self) -> None:
        import timm  # noqa: F401

    def build(self, ends: Ends) -> nn.Module:
        from timm import create_model

        try:
            return create_model(
                self.model, pretrained=False, num_classes=ends.classes, in_chans=ends.shape[0], **self.arguments
            )
        except Exception as error:  # a model may refuse its arguments in any way
            raise UnfitError(f"timm's {self.model} cannot be built ({type(error).__name__}: {error})") from error
