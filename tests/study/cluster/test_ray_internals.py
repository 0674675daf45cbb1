"""Ray's own behaviour that `study.cluster.ray_internals` relies on, seen with Ray 2.60."""

import inspect
import logging
import os
import signal

import pytest
from ray._private import node, services, utils, worker
from ray.air._internal import usage
from ray.tune import tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler

from study.cluster.ray_internals import (
    QUIET,
    count_no_callbacks,
    own_interrupt,
    own_signals,
    quiet,
    stand_in,
    try_again,
)


def test_asha_reads_nothing_of_a_trial_but_its_name():
    scheduler = ASHAScheduler(time_attr="epoch", metric="score", mode="max", max_t=9, grace_period=1)
    good, bad = stand_in("good"), stand_in("bad")
    for trial in (good, bad):
        scheduler.on_trial_add(None, trial)
    assert scheduler.on_trial_result(None, good, {"epoch": 1, "score": 0.9}) == scheduler.CONTINUE
    assert scheduler.on_trial_result(None, stand_in("bad"), {"epoch": 1, "score": 0.1}) == scheduler.STOP
    scheduler.on_trial_complete(None, good, {"epoch": 3, "score": 0.9})
    scheduler.on_trial_remove(None, bad)


def test_a_trials_limit_decides_whether_it_is_tried_again():
    trial = Trial("any", stub=True, max_failures=3)
    trial.run_metadata.num_failures = 1000
    assert not trial.should_recover()
    try_again(trial, True)
    assert trial.should_recover()
    try_again(trial, False)
    assert not trial.should_recover()
    assert "trial.should_recover()" in inspect.getsource(TuneController._process_trial_failure)


def test_tuning_replaces_the_interrupts_handler_which_is_put_back():
    assert "signal.signal" in inspect.getsource(tune)
    before = signal.getsignal(signal.SIGINT)
    with own_interrupt():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGINT) is before


def test_ray_starts_its_processes_by_one_class_which_may_take_a_group():
    assert "ConsolePopen(" in inspect.getsource(services.start_ray_process)
    with own_signals():
        process = services.ConsolePopen(["sleep", "60"])
        assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
        process.kill()
        process.wait()
    assert isinstance(services.ConsolePopen, type)


@pytest.mark.parametrize("starting", [node, worker])
def test_ray_takes_the_handler_of_sigterm_by_one_function_which_is_left_out(starting):
    assert "ray._private.utils.set_sigterm_handler(" in inspect.getsource(starting)
    assert ".signal(signal.SIGTERM" not in inspect.getsource(starting)
    before = signal.getsignal(signal.SIGTERM)
    with own_signals():
        utils.set_sigterm_handler(signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_the_environment_says_of_ray_stays(monkeypatch):
    name, *others = QUIET
    monkeypatch.setenv(name, "1")
    for other in others:
        monkeypatch.delenv(other, raising=False)
    quiet()
    assert os.environ[name] == "1"
    assert {other: os.environ[other] for other in others} == {other: QUIET[other] for other in others}
    assert logging.getLogger("ray.tune").level == logging.CRITICAL


def test_ray_counts_callbacks_where_the_count_is_replaced(monkeypatch):
    monkeypatch.setattr(usage, "tag_callbacks", usage.tag_callbacks)
    quiet()
    assert tune.air_usage.tag_callbacks([]) is False
    assert tune.air_usage.tag_callbacks is count_no_callbacks
