"""Classifiers of torchvision."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field
from torch import nn

from distillbench.common.errors import did_you_mean
from distillbench.tasks.networks.base import Ends, Network, UnfitError, refusal
from distillbench.tasks.views.units import in_colour


def _model_name(model: str) -> str:
    import torchvision
    from torchvision.models import list_models  # a second to import

    if model not in (names := list_models(module=torchvision.models)):
        message = f"unknown model {model!r}{did_you_mean(model, names)}"
        raise refusal(message)
    return model


def without(*names: str) -> AfterValidator:
    """Return a validator that refuses arguments of these names, which load weights that no configuration records."""

    def check(arguments: dict[str, Any]) -> dict[str, Any]:
        if refused := sorted({*names} & arguments.keys()):
            message = f"{refused[0]} is not allowed: teacher.weights takes trained weights"
            raise refusal(message)
        return arguments

    return AfterValidator(check)


class Torchvision(Network):
    """A classifier of torchvision, its weights drawn anew; a grey image is repeated to three channels."""

    name: Literal["torchvision"] = "torchvision"
    kinds: ClassVar[frozenset[str]] = frozenset({"classifier"})
    model: Annotated[str, AfterValidator(_model_name)] = Field("resnet18", description="as torchvision names it")
    arguments: Annotated[dict[str, Any], without("weights", "weights_backbone", "pretrained")] = Field(
        {}, description="of the model's builder, as {dropout = 0.2}"
    )

    def load(self) -> None:
        import torchvision.models  # noqa: F401

    def build(self, ends: Ends) -> nn.Module:
        from torchvision.models import get_model

        try:
            model = get_model(self.model, weights=None, num_classes=ends.classes, **self.arguments)
        except Exception as error:  # a builder may refuse its arguments in any way
            raise UnfitError(f"torchvision's {self.model} cannot be built ({type(error).__name__}: {error})") from error
        return in_colour(model, ends)
