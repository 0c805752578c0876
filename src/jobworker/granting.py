"""What was asked for and what the policy made of it, in one spec. Pure.

The policy refuses or fills in, and never changes what was asked for: so the names of what
it filled in tell the one from the other.
"""

from __future__ import annotations

from dataclasses import fields, replace

from jobworker.model import NO_LIMITS, Grant, Limits, Spec

_LIMITS = tuple(each.name for each in fields(Limits))


def as_granted(spec: Spec, grant: Grant) -> Spec:
    """The spec with what is in force in the place of what was asked for."""
    run_as = grant.run_as.name if grant.run_as else None
    filled_in = {*spec.imposed, *_filled_in(spec.limits, grant.limits)}
    if spec.network != grant.network:
        filled_in.add("network")
    if spec.run_as != run_as:
        filled_in.add("run_as")
    return replace(
        spec,
        limits=grant.limits,
        network=grant.network,
        run_as=run_as,
        imposed=tuple(sorted(filled_in)),
    )


def as_asked(spec: Spec) -> Spec:
    """The spec as it was before anything was granted: to be asked for again."""
    unlimited = {name: getattr(NO_LIMITS, name) for name in spec.imposed if name in _LIMITS}
    return replace(
        spec,
        limits=replace(spec.limits, **unlimited),
        network=spec.network or "network" in spec.imposed,
        run_as=None if "run_as" in spec.imposed else spec.run_as,
        imposed=(),
    )


def is_private(spec: Spec) -> bool:
    """Whether it holds what nobody but its owner has been shown."""
    return bool(spec.env)


def _filled_in(asked: Limits, granted: Limits) -> list[str]:
    return [name for name in _LIMITS if getattr(asked, name) != getattr(granted, name)]
