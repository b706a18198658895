"""Tasks on a cluster give their results in the order that is asked for; what their driver does meanwhile is counted."""

import time

from dcgan_dist.cluster.stage_seconds import StageSeconds, timed
from dcgan_dist.cluster.tasks import map_tasks, run_tasks


def first_is_slowest(number: int) -> int:
    time.sleep(0.2 * (3 - number))
    return number * number


def nothing(shared: None, task: int) -> int:
    return task


def be_busy(seconds: float) -> None:
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass


def test_results_come_in_the_order_of_their_tasks_however_long_each_takes(ray_cluster: str) -> None:
    assert list(map_tasks(first_is_slowest, range(4), cpus=2)) == [0, 1, 4, 9]


def test_what_a_stage_takes_while_tasks_run_is_told_from_what_its_driver_does_alone(ray_cluster: str) -> None:
    seconds = StageSeconds()

    with timed(seconds, "busy"):
        be_busy(0.5)
        for _ in run_tasks(nothing, None, range(4), cpus=2):
            be_busy(0.2)

    assert seconds.driver_beside_tasks["busy"] >= 0.8
    assert 0.8 <= seconds.tasks["busy"] < seconds.wall["busy"] - 0.49
