"""More jobs than descriptors: they are followed, and others start (T79)."""

from __future__ import annotations

import os
import signal

from jobworker.client.client import Client
from jobworker.client.profiles import Profile
from support.jobd import Jobd, MakeJobd
from support.supervisors import supervisor_of
from support.waiting import until

JOBS = 300
LIMIT = 300
"""Descriptors of the server: fewer than there are jobs, with what it takes for itself."""


def descriptors(jobd: Jobd) -> int:
    return len(os.listdir(f"/proc/{jobd.pid}/fd"))  # noqa: PTH208 - names are wanted


def test_t79_jobs_that_outlive_their_server_take_no_descriptor_each(make_jobd: MakeJobd) -> None:
    few = ("/bin/sh", "-c", f'ulimit -n {LIMIT}; exec "$@"', "sh")
    jobd = make_jobd("--containment", "basic", wrapper=few)
    token, ca = jobd.succeed("token", "print").strip(), jobd.succeed("ca").strip()
    with Client(Profile("admin", server=jobd.url, ca=ca, token=token)) as client:
        ids = [client.start("/bin/sleep", "1000")["id"] for _ in range(JOBS)]
        idle = descriptors(jobd)
        jobd.kill()
        jobd.start()
        until(lambda: client.status(ids[-1])["status"] == "Running")
        assert descriptors(jobd) < idle + LIMIT // 4
        assert client.wait(client.start("/bin/true")["id"])["exitCode"] == 0
        for job_id in (ids[0], ids[-1]):  # with a descriptor, and without
            client.stop(job_id)
            assert client.status(job_id)["status"] == "Stopped"
        killed = ids[-2]
        os.kill(supervisor_of(jobd.state, killed), signal.SIGKILL)
        assert client.wait(killed)["reason"] == "lost: its supervisor was killed"
        for job_id in ids[1:-2]:  # which is quicker than to stop each
            os.kill(supervisor_of(jobd.state, job_id), signal.SIGKILL)
        until(lambda: jobd.succeed("list", "-q", "--status", "Running") == "")
