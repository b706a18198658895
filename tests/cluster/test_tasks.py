"""Tasks on a cluster give their results in the order that is asked for."""

import time

from dcgan_dist.cluster.tasks import map_tasks


def first_is_slowest(number: int) -> int:
    time.sleep(0.2 * (3 - number))
    return number * number


def test_results_come_in_the_order_of_their_tasks_however_long_each_takes(ray_cluster: str) -> None:
    assert list(map_tasks(first_is_slowest, range(4), cpus=2)) == [0, 1, 4, 9]
