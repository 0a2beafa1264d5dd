"""A study under comments is the same study, and says of each key what it means."""

import re
from pathlib import Path

import pytest

from losscape_mpi.errors import UserError
from losscape_mpi.study.comments import comment_settings, comment_study
from losscape_mpi.study.config import Study
from losscape_mpi.study.explain import dotted_keys
from losscape_mpi.study.load import dump_study, load_study
from losscape_mpi.study.yaml_text import parse_yaml
from losscape_mpi.surface import main

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml"))
HOSTILE = {
    "name": "no: # a name\n\n\n  of 'several' lines\n",
    "problem": {
        "model": "mlp",
        "model_args": {"layers": 2, "on": {"deep": [1, [2.5, None, "1e-3"]]}},
        "data": {"name": "a.b:c", "args": {"text": "x" * 200, "empty": ""}},
    },
    "plane": {"alpha": {"seed": 3}, "beta": None},
    "output": "runs/a b.h5",
}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_a_study_under_comments_is_the_same_study(path, tmp_path):
    study = load_study(path)
    (tmp_path / "study.yaml").write_text(comment_study(study))
    assert load_study(tmp_path / "study.yaml") == study


def test_texts_that_look_like_yaml_come_back_as_they_were():
    study = Study.model_validate(HOSTILE)
    assert Study.model_validate(parse_yaml(comment_study(study), "")) == study


def test_every_key_stands_below_a_comment():
    lines = comment_study(Study.model_validate(HOSTILE)).splitlines()
    keys = [k for k, line in enumerate(lines) if re.match(r" *[a-z_]+:( |$)", line)]
    above = {lines[k].strip().partition(":")[0]: lines[k - 1].strip() for k in keys}
    wanted = {key.rpartition(".")[2] for key in dotted_keys(Study)} - {"axis"}  # of path: null
    free = {"layers", "on", "deep", "text", "empty"}
    assert wanted <= set(above)
    assert {key for key, line in above.items() if line[:2] != "# "} <= free


def test_words_that_a_key_can_hold_are_told_where_its_meaning_does_not_name_them():
    text = comment_settings({"plane": {"normalize": "filter"}}, Study)
    assert "(filter | layer | weight | dfilter | dlayer" in text.replace("\n", "")


def test_lines_are_short_and_no_two_empty_ones_follow_each_other():
    text = comment_study(load_study(None))
    assert max(map(len, re.sub("checkpoint: .*", "", text).splitlines())) <= 100
    assert "\n\n\n" not in text
    assert not re.search(" $", text, re.MULTILINE)


def test_the_command_prints_it_and_the_comments_change_nothing(capsys):
    main(["--print-study", "--comments"])
    with_comments = capsys.readouterr().out
    main(["--print-study"])
    plain = capsys.readouterr().out
    assert parse_yaml(with_comments, "") == parse_yaml(plain, "")
    assert plain == dump_study(load_study(None))
    assert "# seed of the directions; another seed, another plane\n  seed: 0" in with_comments


def test_comments_without_a_study_to_print_are_a_mistake():
    with pytest.raises(UserError, match="--comments without --print-study"):
        main(["--comments"])
