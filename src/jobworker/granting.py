"""What was asked for and what the policy made of it, in one spec. Pure."""

from __future__ import annotations

from dataclasses import replace

from jobworker.model import Grant, Spec, Wish


def as_granted(spec: Spec, grant: Grant) -> Spec:
    """The spec with what is in force in the place of what was asked for."""
    run_as = grant.run_as.name if grant.run_as else None
    asked, given = _wish_of(spec), Wish(grant.limits, grant.network, run_as)
    return _with(spec, given, asked if asked != given else None)


def as_asked(spec: Spec) -> Spec:
    """The spec as it was before anything was granted: to be asked for again."""
    return _with(spec, _wish_of(spec), None)


def _wish_of(spec: Spec) -> Wish:
    return spec.wish or Wish(spec.limits, spec.network, spec.run_as)


def _with(spec: Spec, terms: Wish, wish: Wish | None) -> Spec:
    return replace(spec, limits=terms.limits, network=terms.network, run_as=terms.run_as, wish=wish)
