"""The limits of a job in bodies of the API, made from the table of limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, defstruct

from jobworker import model
from jobworker.api.fields import Body, Request
from jobworker.limits import LIMITS, RESOURCES, Limit


def _asked(limit: Limit) -> Any:
    bounds = Meta(ge=limit.range.least, le=limit.range.most, description=limit.kind.unit)
    return Annotated[
        Annotated[limit.kind.number, bounds] | None, Meta(description=limit.description)
    ]


def _answered(limit: Limit) -> Any:
    return Annotated[limit.kind.number | None, Meta(description=limit.answered)]


if TYPE_CHECKING:

    class LimitsRequest(Request, frozen=True):
        """The fields ``RESOURCES``, each None where it is left out."""

    class LimitsView(Body, frozen=True):
        """The fields ``LIMITS``."""

        def __init__(self, **limits: float | None) -> None: ...

else:
    LimitsRequest = defstruct(
        "LimitsRequest",
        [(limit.name, _asked(limit), None) for limit in RESOURCES],
        bases=(Request,),
        namespace={
            "__doc__": "The most that the job may use; a limit left out is the role's default."
        },
        module=__name__,
        frozen=True,
    )
    LimitsView = defstruct(
        "LimitsView",
        [(limit.name, _answered(limit)) for limit in LIMITS],
        bases=(Body,),
        namespace={"__doc__": "The effective limits; null where nothing is limited."},
        module=__name__,
        frozen=True,
    )


def limits_from(request: LimitsRequest, timeout: float | None) -> model.Limits:
    """The limits that a request to start a job asks for."""
    asked: dict[str, Any] = {limit.name: getattr(request, limit.name) for limit in RESOURCES}
    return model.Limits(**asked, timeout=timeout)


def limits_view(limits: model.Limits) -> LimitsView:
    """``limits`` as the API shows them."""
    return LimitsView(**{limit.name: getattr(limits, limit.name) for limit in LIMITS})
