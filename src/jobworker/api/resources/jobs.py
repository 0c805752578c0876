"""The handlers of jobs: decoded, permitted calls come in, bodies go out."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

from msgspec import UNSET

from jobworker.api.answers import BytesAnswer, StreamAnswer
from jobworker.api.bodies import CanStartRequest, ExtendRequest, SignalBody, StartRequest, StopBody
from jobworker.api.decode import idempotency_key
from jobworker.api.large import json_in_memory
from jobworker.api.limits import limits_view
from jobworker.api.query import ListQuery, WaitQuery, given, job_query
from jobworker.api.resources.start_request import asked_for, spec_from
from jobworker.api.service import Call
from jobworker.api.views import (
    CanStartAnswer,
    ExtendAnswer,
    HealthAnswer,
    IdAnswer,
    JobList,
    JobView,
    MeAnswer,
    SignalAnswer,
    StartedJob,
    job_view,
    started_job,
)
from jobworker.errors import ServiceUnavailable, UnauthorizedAction
from jobworker.model import NO_LIMITS, Job, Role, brief

MOST_VIEW = 12 * 1024 * 1024
"""Bytes that a job with the longest arguments may take as JSON, six for a control character."""

MOST_PAGE = 4 * 1024 * 1024
"""Bytes that a page of a list may take as JSON; one job more, to be exact."""


async def start(call: Call) -> IdAnswer | StartedJob:
    """Start a job, and with `wait` answer when it has ended.

    With `wait` the answer is the job: as it ended, or as it stands after so many seconds or
    when the server is stopped. A client that hangs up meanwhile does not stop it. Where there
    is no place to wait in, nothing is started: 429 `too_many_requests`.
    """
    query: WaitQuery = call.query
    if not query.wait:
        return _id_of(call, await _submitted(call))
    with call.lasting():
        job = await _submitted(call)
        hint = call.jobs.warning(job)
        return started_job(brief(await _as_it_ends(call, job, query.wait)), hint)


async def _submitted(call: Call) -> Job:
    """The job that the request has started, now or before, under the same key."""
    request: StartRequest = call.body
    if request.stdin:  # which may be long, and is decoded and digested
        stdin, spec = await asyncio.to_thread(asked_for, request)
    else:
        stdin, spec = asked_for(request)
    return await call.jobs.submit(
        spec,
        call.user.name,
        call.user.role,
        stdin=stdin,
        idempotency_key=idempotency_key(call.headers),
    )


async def _as_it_ends(call: Call, job: Job, seconds: float) -> Job:
    """The job once it has ended, or as it stands after ``seconds`` or when the server stops.

    A refusal would be taken for that of the start, and the job would be started once more.
    """
    if job.ended:
        return job
    try:
        return await call.hold(call.jobs.wait(job.id, seconds))
    except ServiceUnavailable:
        return call.jobs.glance(job.id)


def _id_of(call: Call, job: Job) -> IdAnswer:
    """The answer that names a new job, with what its owner had better know."""
    return IdAnswer(id=job.id, hint=call.jobs.warning(job) or UNSET)


async def stop(call: Call) -> IdAnswer:
    """Stop a job; a client that leaves, or a server that stops, takes nothing of it back."""
    request: StopBody = call.body
    with call.slow_stop() if request.grace else nullcontext():
        stopping = call.jobs.stop(call.job.id, by=call.user.name, grace=request.grace)
        await call.hold(asyncio.shield(call.service.carry_on(stopping)))
    return IdAnswer(id=call.job.id)


async def signal(call: Call) -> SignalAnswer:
    """Send a signal to a job's program."""
    request: SignalBody = call.body
    name = await call.jobs.signal(call.job.id, request.signal, by=call.user.name)
    return SignalAnswer(id=call.job.id, signal=name)


async def rerun(call: Call) -> IdAnswer:
    """Start a new job as this one was started."""
    job = await call.jobs.rerun(
        call.job.id,
        by=call.user.name,
        role=call.user.role,
        idempotency_key=idempotency_key(call.headers),
    )
    return _id_of(call, job)


async def extend(call: Call) -> ExtendAnswer:
    """Give a running job more time."""
    request: ExtendRequest = call.body
    by, role = call.user.name, call.user.role
    deadline = await call.jobs.extend(call.job.id, request.seconds, by=by, role=role)
    return ExtendAnswer(id=call.job.id, deadline=deadline)


async def status(call: Call) -> JobView | BytesAnswer | StreamAnswer:
    """Show a job, at once or when it has ended."""
    query: WaitQuery = call.query
    job = call.job
    if query.wait and not job.ended:
        with call.lasting():
            job = brief(await call.hold(call.jobs.wait(job.id, query.wait)))
    if not job.cut:
        return job_view(job)

    async def view() -> JobView:
        return job_view(call.jobs.status(job.id))

    return await json_in_memory(call, MOST_VIEW, view)


async def list_jobs(call: Call) -> BytesAnswer | StreamAnswer:
    """List jobs: own ones, or anybody's for an admin.

    Arguments of more than 1,024 characters are cut, and a page may end before its `limit`,
    where it has some 4 MiB: `next` tells whether there are more.
    """
    asked: ListQuery = call.query
    query = job_query(asked, _whose(call, asked))

    async def view() -> JobList:
        page = await call.jobs.list(query)
        return JobList(jobs=[job_view(brief(job)) for job in page.jobs], next=page.next)

    return await json_in_memory(call, MOST_PAGE, view)


async def remove(call: Call) -> IdAnswer:
    """Delete a finished job and its output."""
    await call.jobs.remove(call.job.id)
    return IdAnswer(id=call.job.id)


async def can_start(call: Call) -> CanStartAnswer:
    """Tell whether a start would be allowed, and which rule of the policy decides."""
    request: CanStartRequest = call.body
    asked = {name: getattr(request, name) for name in CanStartRequest.__struct_fields__}
    spec = spec_from(StartRequest(**asked))
    explain = call.service.authority.explain
    decision = await asyncio.to_thread(explain, call.user.name, call.user.role, spec)
    limits = decision.limits(NO_LIMITS) if decision.allowed else NO_LIMITS
    return CanStartAnswer(
        allowed=decision.allowed,
        rule=decision.rule,
        reason=decision.reason,
        run_as=decision.account.name if decision.account else None,
        network=decision.network,
        limits=limits_view(limits),
    )


async def whoami(call: Call) -> MeAnswer:
    """Tell the caller who the token belongs to."""
    return MeAnswer(name=call.user.name, role=call.user.role)


async def health(_: Call) -> HealthAnswer:
    """Tell that the server answers."""
    return HealthAnswer()


async def ready(call: Call) -> HealthAnswer:
    """Tell whether the server does its work; 503 while it stops, or with the cause why not.

    On a full disk it does: jobs can be read, stopped and removed, and starts are answered 507.
    """
    if call.service.interruptions.stopping:
        raise ServiceUnavailable("the server is stopping")
    troubles = (call.jobs.trouble, *call.service.troubles)
    causes = [cause for trouble in troubles if (cause := await trouble())]
    if causes:
        raise ServiceUnavailable("; ".join(causes))
    return HealthAnswer()


def _whose(call: Call, asked: ListQuery) -> str | None:
    """The owner whose jobs to list, None for everybody's; raises ``UnauthorizedAction``."""
    owner = given(asked.owner)
    if call.user.role is Role.ADMIN:
        return owner
    if owner not in (None, call.user.name):
        raise UnauthorizedAction
    return call.user.name
