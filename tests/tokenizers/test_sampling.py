import pytest

from gristmill.tokenizers.sampling import in_sample, keyed_hashes

IDS = [f"doc-{i}" for i in range(2000)]


def test_a_smaller_sample_lies_inside_a_larger_one():
    small, large = in_sample(IDS, 7, 0.1), in_sample(IDS, 7, 0.3)
    assert (small <= large).all()
    assert 150 <= small.sum() <= 250  # 200 expected, deviation 13
    assert 530 <= large.sum() <= 670  # 600 expected, deviation 20


def test_membership_depends_on_the_id_and_the_seed_alone():
    backwards = in_sample(IDS[::-1], 7, 0.3)[::-1]
    assert (backwards == in_sample(IDS, 7, 0.3)).all()
    assert (in_sample(IDS, 8, 0.3) != in_sample(IDS, 7, 0.3)).any()


def test_none_and_all_are_shares_too():
    assert not in_sample(IDS, 0, 0).any()
    assert in_sample(IDS, 0, 1).all()


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_a_share_outside_its_range_is_refused(fraction):
    with pytest.raises(ValueError, match="from 0 to 1"):
        in_sample(IDS, 0, fraction)


def test_a_seed_outside_its_range_is_refused():
    with pytest.raises(ValueError, match="seed is -1"):
        keyed_hashes(IDS, -1)
