from datetime import UTC, datetime, timedelta

from service.web.throttle import Throttle

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HALF_A_MINUTE = timedelta(seconds=30)


def _worn_out(throttle: Throttle, key: str = "10.0.0.1 lan", times: int = 3) -> None:
    for _ in range(times):
        throttle.failed(key, NOW)


def test_the_first_wrong_answers_cost_nothing():
    throttle = Throttle(free=3)
    _worn_out(throttle, times=2)
    assert not throttle.wait("10.0.0.1 lan", NOW)


def test_who_guesses_on_has_to_wait():
    throttle = Throttle(free=3)
    _worn_out(throttle)
    assert throttle.wait("10.0.0.1 lan", NOW) == HALF_A_MINUTE


def test_the_wait_is_over_by_itself():
    throttle = Throttle(free=3)
    _worn_out(throttle)
    assert not throttle.wait("10.0.0.1 lan", NOW + HALF_A_MINUTE)


def test_one_more_guess_is_let_through_each_time():
    throttle = Throttle(free=3)
    _worn_out(throttle)
    throttle.failed("10.0.0.1 lan", NOW + HALF_A_MINUTE)
    assert throttle.wait("10.0.0.1 lan", NOW + HALF_A_MINUTE) == HALF_A_MINUTE


def test_the_real_phone_elsewhere_is_not_slowed_down():
    throttle = Throttle(free=3)
    _worn_out(throttle, times=50)
    assert not throttle.wait("10.0.0.2 lan", NOW)


def test_memory_is_bounded_and_the_oldest_is_forgotten():
    throttle = Throttle(free=3, remembered=2)
    for key in ("a", "b", "c"):
        _worn_out(throttle, key)
    assert [bool(throttle.wait(key, NOW)) for key in ("a", "b", "c")] == [False, True, True]
