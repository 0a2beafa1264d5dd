import pytest

from losscape_mpi.run.cost import about, describe_cost, share_of_samples
from losscape_mpi.study.load import load_study


def test_the_mean_costs_points_times_seconds_over_workers():
    assert describe_cost(0.5, 4, 400) == "400 points x 0.5 s / 4 workers: about 50 s"
    assert describe_cost(0.5, 1, 20) == "20 points x 0.5 s / 1 worker: about 10 s"


def test_a_tiny_network_costs_what_it_takes_to_store_its_points():
    text = describe_cost(1e-5, 2, 1001 * 1001)
    assert text == (
        "1002001 points x 1e-05 s / 2 workers: about 100 s; that is what storing 1002001 points "
        "takes, not computing them"
    )
    assert describe_cost(1e-3, 2, 1001 * 1001).endswith(": about 8 min")


def test_anchors_cost_their_points_those_between_and_the_start_of_every_worker():
    # 50 * 2 / 4 + 400 * 0.2 / 4 + 50 * 0.2 = 25 + 20 + 10
    assert describe_cost(2.0, 4, 50, few=400, share=0.1, anchors=50) == (
        "(50 points x 2 s + 400 points x 0.2 s on 10 % of the samples) / 4 workers + 50 x "
        "0.2 s at the anchors for every worker: about 55 s; points that fall back to all samples "
        "come on top, 2 s for each"
    )


def test_only_what_is_left_between_the_anchors_costs():
    # 400 * 0.2 / 2 + 50 * 0.2
    assert describe_cost(2.0, 2, 0, few=400, share=0.1, anchors=50).startswith(
        "400 points x 0.2 s on 10 % of the samples / 2 workers + 50 x 0.2 s at the anchors for "
        "every worker: about 50 s;"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "less than a second"),
        (0.99, "less than a second"),
        (1.2, "about 1 s"),
        (119, "about 119 s"),
        (170, "about 3 min"),
        (7199, "about 120 min"),
        (3 * 3600 + 12 * 60, "about 3 h"),
        (86400, "about 24 h"),
        (60 * 3600, "about 2 days"),
        (1e7, "about 116 days"),
    ],
)
def test_durations_read_as_a_person_says_them(seconds, text):
    assert about(seconds) == text


def test_the_share_is_that_of_all_splits_together():
    study = load_study(None, ["evaluation.anchors.share=0.1"])
    # A tenth of 1000, and 64 of 200 because no subset is smaller.
    assert share_of_samples(study, {"train": 1000, "test": 200}) == (100 + 64) / 1200
