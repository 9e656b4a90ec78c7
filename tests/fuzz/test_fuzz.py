"""A few examples per reader, the same ones in every run, and what was once found; `make fuzz` goes on from there."""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.limits import Ear
from tests.fuzz.target import Target
from tests.fuzz.targets import ALL


@pytest.mark.parametrize("target", ALL, ids=lambda target: target.name)
def test_what_is_nearly_right_is_read_or_refused_in_one_line(target: Target) -> None:
    with Ear() as ear:
        for example in target.found:
            target.check(example, ear)

        @settings(max_examples=target.examples, suppress_health_check=list(HealthCheck))
        @given(target.given)
        def check(example: object) -> None:
            target.check(example, ear)

        check()
