"""Schedules against a second implementation: a reader of cron texts of its own, with Python's zoneinfo.

The C program walks from field to field as robfig/cron does; this one lists every local time that a schedule names on
each day, and asks zoneinfo at which instants a clock on the wall shows it: none, one or two. The zones here change
their clocks by whole hours and not at midnight, where both must agree. (test/cases/schedule has the odd zones, with
robfig/cron's own answers.)
"""

import json
import random
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from conftest import EXAMPLES, run

ZONES = ["UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/Los_Angeles", "Australia/Sydney",
         "Pacific/Auckland", "Asia/Kolkata", "Asia/Tokyo"]
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
DAYS = "sun mon tue wed thu fri sat".split()
FIELDS = [(0, 59, []), (0, 23, []), (1, 31, []), (1, 12, MONTHS), (0, 6, DAYS)]


def values(text, low, high, names):
    """The set a field names, and whether it is a star for the day rule."""
    number = lambda word: low + names.index(word.lower()) if word.lower() in names else int(word)
    chosen, star = set(), False
    for item in text.split(","):
        span, _, step = item.partition("/")
        if span in "*?":
            first, last = low, high
            star = star or step in ("", "1")
        elif "-" in span:
            first, last = map(number, span.split("-"))
        else:
            first = number(span)
            last = high if step else first
        chosen |= set(range(first, last + 1, int(step or 1)))
    return chosen, star


def starts(text, zone, after, count):
    """The next starts as UTC datetimes."""
    zone = ZoneInfo(zone)
    (minutes, _), (hours, _), (doms, dom_star), (months, _), (dows, dow_star) = (
        values(t, *f) for t, f in zip(text.split(), FIELDS))
    found, day = [], after.astimezone(zone).date() - timedelta(days=1)
    for _ in range(366 * 6):
        if len(found) >= count:
            break
        in_month, in_week = day.day in doms, day.isoweekday() % 7 in dows
        fits = in_month and in_week if dom_star or dow_star else in_month or in_week
        if fits and day.month in months:
            found += sorted(t for t in instants(day, hours, minutes, zone) if t > after)
        day += timedelta(days=1)
    return found[:count]


def instants(day, hours, minutes, zone):
    """When a wall clock of the zone shows one of these times on that day: a set, for one time may come twice."""
    at = set()
    for hour in hours:
        for minute in minutes:
            wall = datetime(day.year, day.month, day.day, hour, minute)
            for fold in (0, 1):
                utc = wall.replace(tzinfo=zone, fold=fold).astimezone(timezone.utc)
                if utc.astimezone(zone).replace(tzinfo=None) == wall:
                    at.add(utc)
    return at


def preview(text, zone, after, count):
    done = run("schedule", "preview", "--cron", text, "--time-zone", zone, "--from", after.strftime("%Y-%m-%dT%H:%M:%SZ"),
               "-n", count, "--json")
    return json.loads(done.stdout)["apps"][0]


def random_field(rng, low, high, names, star):
    def word():
        n = rng.randint(low, high)
        return names[n - low].upper() if names and rng.random() < 0.3 else str(n)

    def item():
        kind = rng.random()
        if kind < 0.2:
            return rng.choice("*?") + "/" + str(rng.randint(1, high))
        if kind < 0.6:
            return word()
        if kind < 0.7:
            return word() + "/" + str(rng.randint(1, high))
        first = rng.randint(low, high)
        return f"{first}-{rng.randint(first, high)}" + rng.choice(["", f"/{rng.randint(1, 9)}"])

    return "*" if rng.random() < star else ",".join(item() for _ in range(rng.choice([1, 1, 2])))


@pytest.mark.parametrize("seed", range(4))
def test_random_schedules_agree_with_zoneinfo(seed):
    rng = random.Random(seed)
    for _ in range(40):
        text = " ".join(random_field(rng, *f, star) for f, star in zip(FIELDS, (0.1, 0.3, 0.6, 0.8, 0.6)))
        zone = rng.choice(ZONES)
        after = datetime(2026, rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23), rng.randint(0, 59),
                         tzinfo=timezone.utc)
        if rng.random() < 0.5:   # around the clock changes of Berlin, New York and Sydney
            after = rng.choice([datetime(2026, 3, 28, 20), datetime(2026, 10, 24, 20), datetime(2026, 3, 8, 3),
                                datetime(2026, 11, 1, 3), datetime(2026, 4, 4, 12)]).replace(tzinfo=timezone.utc)
        want = starts(text, zone, after, 12)
        got = [datetime.fromtimestamp(s["epoch"], timezone.utc) for s in preview(text, zone, after, 12)["starts"]]
        assert got == want, f"{text} in {zone} after {after}"


def test_local_times_and_clock_changes_are_shown():
    after = datetime(2026, 10, 24, 12, tzinfo=timezone.utc)
    app = preview("30 2 * * *", "Europe/Berlin", after, 3)
    assert [s["local"] for s in app["starts"]] == [
        "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-26T02:30:00+01:00"]
    assert app["clock_changes"] == [{"utc": "2026-10-25T01:00:00Z", "before": "2026-10-25T02:59:59+02:00",
                                     "after": "2026-10-25T02:00:00+01:00"}]
    people = run("schedule", "preview", "--cron", "30 2 * * *", "--time-zone", "Europe/Berlin", "--from",
                 "2026-03-28T12:00:00Z", "-n", 2).stdout
    assert "clock forward" in people and "2026-03-30 02:30:00 +02:00" in people and "are left out" in people


def test_preview_of_a_directory_needs_no_platform():
    app = json.loads(run("schedule", "preview", EXAMPLES / "client_b", "--json", "-n", 2).stdout)
    assert app["tenant"] == "client_b" and app["time_zone"] == "UTC"
    first, second = (s["epoch"] for s in app["apps"][0]["starts"])
    assert first % 60 == 0 and second == first + 60


def test_why_nothing_starts(tmp_path):
    def why(**parts):
        (tmp_path / "service-agreement.json").write_text(json.dumps({"client": "a", **parts}))
        app = json.loads(run("schedule", "preview", tmp_path, "--json").stdout)["apps"][0]
        assert app["starts"] == []
        return app["none_because"]

    assert "no schedule" in why()
    assert "suspend" in why(schedule="@hourly", suspend=True)
    assert "five years" in why(schedule="0 0 30 2 *")


def test_bad_schedules_are_refused():
    assert "minute \"60\"" in run("schedule", "preview", "--cron", "60 * * * *", code=64).stderr
    assert "Europe/Berlin" in run("schedule", "preview", "--cron", "@daily", "--time-zone", "Europe/Berln", code=64).stderr
    assert "--number" in run("schedule", "preview", "--cron", "@daily", "-n", "x", code=64).stderr


def test_preview_of_a_tenant_of_the_platform(platform):
    platform.cli("tenant", "add", EXAMPLES / "client_b")
    answer = json.loads(platform.cli("schedule", "preview", "client_b", "--json", "-n", 3).stdout)
    assert len(answer["apps"][0]["starts"]) == 3
    platform.cli("tenant", "pause", "client_b")
    answer = json.loads(platform.cli("schedule", "preview", "client_b", "--json").stdout)
    assert answer["apps"][0]["starts"] == [] and "paused" in answer["apps"][0]["none_because"]
    assert "client_x" in platform.cli("schedule", "preview", "client_x", code=3).stderr
