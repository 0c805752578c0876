"""Attends a running program: one loop, one small action for each thing that happens."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import time

from . import records, signals, tree, verdict
from .ending import ASK, KILL, Ending
from .launch import Program
from .pump import Pump
from .site import OWN_NAMESPACES, Site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cgroups import JobCgroup
    from .feed import Feed
    from .terminal import Terminal

    Tap = Feed | Terminal
    """The source of a program's input."""

_SIGNAL_INFO = 128
"""The size of a signalfd_siginfo (signalfd(2)), which begins with the signal's number."""

_F_GETPIPE_SZ = 1032

_TERMINAL_MOST = 65_536
"""More than the kernel keeps of a terminal's output: 8,192 bytes before the line discipline
(``pty_common_install`` of pty.c), and a page in it."""

_LONGEST_WAIT = 86_400.0
"""Most seconds for one poll(2), whose milliseconds end after 24 days."""


class Attendance:
    """The supervisor's part from the program's exec to the end of the last process."""

    def __init__(
        self, site: Site, spool: int, pump: Pump, group: JobCgroup | None, tap: Tap | None
    ) -> None:
        self._site = site
        self._spool = spool
        self._group = group
        self._alarm = group.alarm if group is not None else None
        self._pump = pump
        self._tap = tap
        self._end = Ending()
        self._wait_status: int | None = None
        self._at_end: list[int] = []
        self._output_error: str | None = None

    def take_up(
        self, program: Program, started: records.Fields, recorded: int, before: bytes
    ) -> None:
        """Attends ``program`` from now on.

        ``recorded`` are the bytes of the record that we know, ``before`` the events of the
        commons till then.
        """
        self._before = before
        self._recorded = recorded
        self._program = program
        self.started = started

    def limit_time(self, timeout: float, grace: float) -> None:
        """Lets the program run for ``timeout`` seconds from now, and then ``grace`` more."""
        self._end.limit_time(time.monotonic(), timeout, grace)

    def run(self) -> records.Fields:
        """Attends until no process of the job is left; returns the exit record."""
        poll = select.poll()
        for fd in (self._site.signals, *self._program.sources):
            poll.register(fd, select.POLLIN)
        alarm = self._alarm
        if alarm is not None:
            poll.register(alarm.fd, select.POLLIN)
        tap = self._tap
        if tap is not None:
            tap.register(poll)
        self._heed_addition()
        while self._wait_status is None:
            for fd, event in poll.poll(self._patience()):
                if fd == self._site.signals:
                    self._heed_signal()
                elif alarm is not None and fd == alarm.fd:
                    alarm.ring()
                elif tap is None or tap.heed(fd, event, poll):
                    self._carry(fd, event, poll)
            self._limit_output()
            self._act(self._end.due(time.monotonic()))
            if alarm is not None and alarm.confirmed():
                self._kill()
        return self._finish()

    def _carry(self, fd: int, event: int, poll: select.poll) -> None:
        """Takes output. A source that is hung up is polled no more, one that is empty is.

        Only a read tells that nothing is left: poll(2) looks for data before it looks for who
        could still write, and both may change in between.
        """
        if not self._pump.carry(fd, self._program.sources.index(fd)) and event & select.POLLHUP:
            poll.unregister(fd)
            self._at_end.append(fd)

    def _finish(self) -> records.Fields:
        """Ends what the dead program left behind; returns the exit record."""
        finished_at = time.time()
        tree.end(self._site.level)
        self._drain()
        self._limit_output()
        try:
            self._pump.finish()
        except OSError as error:
            # The job's end is known all the same, and must not be lost for this.
            self._output_error = error.strerror or str(error)
        return self._exit_record(finished_at)

    def _limit_output(self) -> None:
        if self._pump.over_limit:
            self._act(self._end.end_now(b"output-limit", self._pump.evidence()))

    def _patience(self) -> int | None:
        """Milliseconds until there is something to do, rounded up; None where there is not.

        That is an end being due, or a look for kills by the kernel for memory.
        """
        now = time.monotonic()
        waits = [due_at - now] if (due_at := self._end.due_at()) is not None else []
        alarm = self._alarm
        if alarm is not None and (look := alarm.patience()) is not None:
            waits.append(look)
        if not waits:
            return None
        return max(0, int(min(*waits, _LONGEST_WAIT) * 1000) + 1)

    def _heed_signal(self) -> None:
        number = os.read(self._site.signals, _SIGNAL_INFO)[0]
        if number == signals.SIGTERM:
            self._heed_record()
        else:
            self._reap()

    def _reap(self) -> None:
        while self._wait_status is None:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid == self._program.pid:
                self._wait_status = status

    def _heed_addition(self) -> None:
        """Acts on what the server has added before we watched for signals, if anything."""
        if os.stat(records.RECORD, dir_fd=self._spool).st_size != self._recorded:
            self._heed_record()

    def _heed_record(self) -> None:
        """Acts on what the server has added to the record."""
        sections = records.read(self._spool)
        if deadline := sections.get(records.DEADLINE):
            self._end.move_deadline(deadline)
        if records.EOF in sections and self._tap is not None:
            self._tap.end()
        if stop := sections.get(records.STOP):
            self._act(self._end.stop(time.monotonic(), stop))

    def _act(self, action: str | None) -> None:
        if action == ASK:
            # A process stopped by SIGSTOP gets SIGTERM only once it goes on.
            self._signal_all(signals.SIGTERM)
            self._signal_all(signals.SIGCONT)
        elif action == KILL:
            self._kill()

    def _signal_all(self, number: int) -> None:
        if self._site.level in OWN_NAMESPACES:
            tree.signal_namespace(number)
        else:
            tree.signal_descendants(number)

    def _kill(self) -> None:
        if self._site.level in OWN_NAMESPACES:
            tree.signal_namespace(signals.SIGKILL)
        else:
            tree.kill_descendants()

    def _drain(self) -> None:
        """Takes what is left in the pipes, and no more than that.

        All processes of the job are dead, but one may have handed its end of the pipe to
        a process outside, which could go on writing for ever.
        """
        for stream, source in enumerate(self._program.sources):
            if source in self._at_end:
                continue
            os.set_blocking(source, False)
            left = _capacity(source)
            while left > 0 and (length := self._pump.carry(source, stream)):
                left -= length

    def _exit_record(self, finished_at: float) -> records.Fields:
        assert self._wait_status is not None
        code = os.waitstatus_to_exitcode(self._wait_status)
        oom_kills = 0 if self._group is None else self._group.oom_kills()
        of_all = self._killed_among_all()
        cause = verdict.cause(self._wait_status, self._end.cause, oom_kills or len(of_all))
        return [
            ("cause", cause),
            *_how(code, cause, self._spool),
            *self._end.evidence(),
            *[(key, value) for key, value in self.started if key == "startedAt"],
            ("finishedAt", b"%.6f" % finished_at),
            *_usage(self._group),
            *self._pump.account(),
            *_output_fault(self._output_error),
            *([] if self._group is None else self._group.evidence(oom_kills)),
            *(of_all if cause == b"oom" and not oom_kills else []),
        ]

    def _killed_among_all(self) -> records.Fields:
        """The evidence that the kernel has killed for the memory of all jobs meanwhile."""
        commons = self._site.commons
        if commons is None or os.waitstatus_to_exitcode(self._wait_status or 0) != -signals.SIGKILL:
            return []
        if self._group is not None and self._group.limits_memory:
            return []  # it is not in there
        try:
            return commons.evidence(self._before)
        except OSError:
            return []  # the record of the end must not be lost for this


def _capacity(source: int) -> int:
    """The most bytes that can wait in a pipe, or in a terminal, which cannot be asked."""
    try:
        return fcntl.fcntl(source, _F_GETPIPE_SZ)
    except OSError:
        return _TERMINAL_MOST


def _how(code: int, cause: bytes, spool: int) -> records.Fields:
    """The program's own exit code, or the signal that ended it and whether that was ours."""
    if code >= 0:
        return [("exitCode", b"%d" % code)]
    name = signals.name_of(-code).encode()
    if cause != b"signaled":
        return [("signal", name)]
    return [("signal", name), ("evidence.signal", name), *_sender(-code, spool)]


def _sender(number: int, spool: int) -> records.Fields:
    """The user for whom the server last sent that signal, and when; else ``not jobd``."""
    try:
        sent = records.senders(spool).get(str(number))
    except OSError:
        sent = None  # the record of the end must not be lost for this
    if sent is None:
        return [("evidence.sender", b"not jobd")]
    at, _, by = sent.partition(b" ")
    return [("evidence.sender", by), ("evidence.sentAt", at)]


def _output_fault(error: str | None) -> records.Fields:
    """The error of the disk, which may then not have all of the output; or nothing."""
    return [] if error is None else [("evidence.outputError", error.encode())]


def _usage(group: JobCgroup | None) -> records.Fields:
    """CPU time and peak memory: of the whole job by its cgroup, else of all reaped children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = peak = None
    if group is not None:
        cpu_seconds, peak = group.cpu_seconds(), group.memory_peak()
    if cpu_seconds is None:
        cpu_seconds = used.ru_utime + used.ru_stime
    if peak is None:
        peak = used.ru_maxrss * 1024
    return [("cpuSeconds", b"%.6f" % cpu_seconds), ("peakMemory", b"%d" % peak)]
