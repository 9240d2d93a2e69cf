"""How much one person, and one address, may do."""

import pytest

from gantt_tornado import Config, Role, TooMany, User, limits
from gantt_tornado.limits import BURST, LONGEST_DELAY, Limits, Rate

EVE = User("Eve", Role.editor)
ANN = [("person ann", 1.0)]
BOB = [("person bob", 1.0)]


@pytest.fixture
def clock():
    return [0.0]


class TestRate:
    @pytest.fixture
    def rate(self, clock):
        """Two a second, three at once, and a second of delay."""
        return Rate(0.5, 3, 1.0, lambda: clock[0])

    def test_some_may_come_at_once(self, rate):
        assert [rate.take(ANN) for _ in range(3)] == [0, 0, 0]

    def test_what_comes_then_is_put_off_and_the_rest_refused(self, rate):
        for _ in range(3):
            rate.take(ANN)
        assert [rate.take(ANN) for _ in range(2)] == [0.5, 1.0]
        with pytest.raises(TooMany) as refused:
            rate.take(ANN)
        assert refused.value.retry_after == 1

    def test_what_was_refused_is_not_counted(self, rate, clock):
        for _ in range(5):
            rate.take(ANN)
        for _ in range(100):
            with pytest.raises(TooMany):
                rate.take(ANN)
        clock[0] = 0.5
        assert rate.take(ANN) == 1.0

    def test_who_rests_may_do_it_at_once_again(self, rate, clock):
        for _ in range(5):
            rate.take(ANN)
        clock[0] = 100
        assert [rate.take(ANN) for _ in range(4)] == [0, 0, 0, 0.5]

    def test_each_has_their_own(self, rate):
        for _ in range(3):
            rate.take(ANN)
        assert rate.take(BOB) == 0

    def test_many_at_once_count_as_many(self, rate):
        assert rate.take(ANN, 4) == 0.5
        with pytest.raises(TooMany):
            rate.take(ANN, 2)

    def test_the_tightest_of_several_counts(self, rate):
        both = [*ANN, ("address a", 2.0)]
        for _ in range(3):
            rate.take(both)
        assert rate.take(both) == 0.5
        # Another person at the same address has what is left of twice as much.
        both = [*BOB, ("address a", 2.0)]
        assert [rate.take(both) for _ in range(3)] == [0.0, 0.0, 0.25]

    def test_zero_is_no_limit(self):
        rate = Rate(0, 1)
        assert [rate.take(ANN) for _ in range(100)] == [0] * 100

    def test_those_who_are_remembered_have_an_end(self, rate, monkeypatch):
        monkeypatch.setattr(limits, "MOST_KNOWN", 10)
        for number in range(100):
            rate.take([(f"person {number}", 1.0)])
        assert len(rate._due) == 10


class TestKeys:
    def keys(self, user, address, **settings):
        return [key for key, _ in Limits(Config(**settings)).keys(user, address)]

    def test_a_person_and_an_address(self):
        assert self.keys(EVE, "192.0.2.1") == ["person Eve", "address 192.0.2.1"]

    def test_who_is_not_known_counts_by_the_address(self):
        assert self.keys(User("", None), "192.0.2.1") == ["address 192.0.2.1"]
        assert self.keys(None, "192.0.2.1") == ["address 192.0.2.1"]

    @pytest.mark.parametrize("address", ["2001:db8::1", "2001:db8::ffff:1:2:3"])
    def test_a_network_of_one_client_is_one_address(self, address):
        assert self.keys(None, address) == ["address 2001:db8::/64"]
        assert self.keys(None, "::ffff:192.0.2.1") == ["address 192.0.2.1"]

    @pytest.mark.parametrize("address", ["127.0.0.1", "127.8.0.1", "::1", "10.0.0.7", ""])
    def test_an_office_comes_from_one(self, address):
        assert self.keys(EVE, address, trusted_proxies=("10.0.0.0/8",)) == ["person Eve"]

    def test_there_need_be_no_limit_by_address(self):
        assert self.keys(EVE, "192.0.2.1", address_times=0) == ["person Eve"]

    def test_an_address_may_so_many_times_what_a_person_may(self):
        assert Limits(Config(address_times=7)).keys(None, "192.0.2.1")[0][1] == 7


class TestSockets:
    def test_there_are_no_more_than_so_many(self):
        known = Limits(Config(sockets_a_person=2))
        assert [known.open_socket(ANN) for _ in range(3)] == [True, True, False]
        assert known.open_socket(BOB)
        known.close_socket(ANN)
        assert known.open_socket(ANN)

    def test_those_that_are_closed_leave_nothing(self):
        known = Limits(Config(sockets_a_person=2))
        known.open_socket(ANN)
        known.close_socket(ANN)
        known.close_socket(())
        assert not known._sockets


def test_a_thousand_writes_come_at_once_and_some_seconds_later_all_others(clock):
    known = Limits(Config(writes_a_second=100), lambda: clock[0])
    delays = [known.write(ANN) for _ in range(BURST + int(LONGEST_DELAY * 100))]
    assert max(delays[:BURST]) == 0 and delays[-1] == pytest.approx(LONGEST_DELAY)
    with pytest.raises(TooMany):
        known.write(ANN)


def test_so_many_projects_may_be_opened_a_minute(clock):
    known = Limits(Config(projects_a_minute=3), lambda: clock[0])
    for _ in range(3):
        known.open_project(ANN)
    for clock[0] in (0.0, 19.9):
        with pytest.raises(TooMany):
            known.open_project(ANN)
    clock[0] = 20.1
    known.open_project(ANN)
