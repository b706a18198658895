"""When a run counts as collapsed."""

import pytest

from dcgan_dist.config import AlarmConfig
from dcgan_dist.training.collapse_alarm import CollapseAlarm

HEALTHY = {"diversity/fake_to_real": 0.9, "accuracy/d": 0.8}


@pytest.mark.parametrize("sick", [{"diversity/fake_to_real": 0.01}, {"accuracy/d": 1.0}])
def test_alarm_is_raised_once_after_patience_reports(sick: dict[str, float]) -> None:
    alarm = CollapseAlarm(AlarmConfig(patience=3))

    messages = [alarm.check(HEALTHY | sick) for _ in range(5)]

    assert [message is not None for message in messages] == [False, False, True, False, False]


def test_a_healthy_report_silences_the_count_and_a_resumed_count_goes_on() -> None:
    sick = HEALTHY | {"accuracy/d": 1.0}
    alarm = CollapseAlarm(AlarmConfig(patience=2))
    assert [alarm.check(metrics) for metrics in (sick, HEALTHY, sick)] == [None, None, None]

    resumed = CollapseAlarm(AlarmConfig(patience=2), count=alarm.count)

    assert resumed.check(sick) is not None
