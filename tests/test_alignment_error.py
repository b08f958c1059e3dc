"""Alignment error rate, precision and recall, by hand; and every file that is something else."""

from __future__ import annotations

import re

import pytest

from iel_fairseq.alignment_error import AlignmentScores, read_alignments, read_gold, score_files
from iel_fairseq.cli import main
from iel_fairseq.errors import IELError

# Sure: 0-0 1-1 | 0-0 2-1; possible besides: 2-1 | 1-1 2-2.
PHARAOH = "0-0 1-1 2p1\n0-0 2-1 1?1 2p2\n\n"
NAACL = "0001 1 1 S\n0001 2 2\n0001 3 2 P 0.5\n\n0002 1 1 S 1\n2 3 2\n2 2 2 P\n2 3 3 P\n"
# Right: 0-0 sure, 2-1 possible | 2-1 sure, 2-2 possible; wrong: 0-2, and 0-0 in the pair without links.
FOUND = "0-0 2-1 0-2\n2-1 2-2 2-1\n0-0\n"
SCORES = AlignmentScores(links=6, sure=4, found_sure=2, found_possible=4)


@pytest.fixture
def files(tmp_path):
    """files(gold, found): the paths of two files of that content."""

    def write(gold: str | bytes, found: str | bytes = FOUND) -> tuple[str, str]:
        for name, text in (("gold", gold), ("found", found)):
            (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(tmp_path / "gold"), str(tmp_path / "found")

    return write


def test_scores_by_hand():
    assert SCORES.precision == pytest.approx(4 / 6)
    assert SCORES.recall == 2 / 4
    assert SCORES.error_rate == pytest.approx(1 - (2 + 4) / (6 + 4))


@pytest.mark.parametrize("gold", [PHARAOH, PHARAOH.replace("\n", "\r\n"), NAACL, f"\n{NAACL}"])
def test_counts_of_either_format(files, gold):
    assert score_files(*files(gold)) == SCORES


def test_gold_in_pharaoh_format_that_counts_from_one(files):
    from_one = "1-1 2-2 3p2\n1-1 3-2 2?2 3p3\n\n"
    assert score_files(*files(from_one), one_based=True) == SCORES
    assert score_files(*files(from_one)) != SCORES


def test_sure_links_are_possible_and_a_link_that_is_both_is_sure(files):
    path, found = files("0p0 0-0 1p1\n")
    [gold] = read_gold(path, found, count=1)
    assert gold.sure == {(0, 0)}
    assert gold.possible == {(0, 0), (1, 1)}


def test_best_and_worst(files):
    best = score_files(*files("0-0 1-2\n", "1-2 0-0\n"))
    assert (best.error_rate, best.precision, best.recall) == (0, 1, 1)
    worst = score_files(*files("0-0 1-2\n", "0-1\n"))
    assert (worst.error_rate, worst.precision, worst.recall) == (1, 0, 0)


def test_only_line_feeds_end_a_sentence_and_the_last_may_lack_it(files):
    assert read_alignments(files("", "0-0\n\n1-1\x0b2-2")[1]) == [{(0, 0)}, set(), {(1, 1), (2, 2)}]


def test_the_command_prints_a_line_a_measure(files, capsys):
    main(["score-aer", *files(PHARAOH)])
    assert capsys.readouterr().out == "AER 40.00\nprecision 66.67\nrecall 50.00\n"
    main(["score-aer", "--one-based", *files(PHARAOH.translate({ord("0"): "1", ord("1"): "2", ord("2"): "3"}))])
    assert capsys.readouterr().out == "AER 40.00\nprecision 66.67\nrecall 50.00\n"


@pytest.mark.parametrize(
    ("gold", "found", "one_based", "message"),
    [
        ("0-0\n1_1\n", "0-0\n0-0\n", False, "gold, line 2: '1_1' is no link; write i-j or ipj or i?j"),
        ("0-0\n1:1\n", "0-0\n0-0\n", False, "gold, line 2: '1:1' is no link"),
        ("0-0\n-1-1\n", "0-0\n0-0\n", False, "gold, line 2: '-1-1' is no link"),
        ("0-0\n²-1\n", "0-0\n0-0\n", False, "gold, line 2: '²-1' is no link"),
        ("0-0\n", "0p0\n", False, "found, line 1: '0p0' is no link; write i-j, i and j numbers"),
        ("0-0\n", "1 1 1\n", False, "found, line 1: '1' is no link"),
        ("0-0\n", "0-0\n0-0\n", False, "gold: 1 lines, but {found} has 2; both must have one line for each"),
        ("0-0\n1-1\n", "0-0\n", False, "gold: 2 lines, but {found} has 1"),
        ("1-1 1-0\n", "0-0\n", True, "gold, line 1: '1-0' has word 0, but words count from 1; leave out --one-based"),
        ("1 1 1 S\n1 2\n", "0-0\n", False, "gold, line 2: '1 2' is no link; write SENTENCE SOURCE-WORD"),
        ("1 1 1 S\n1 1 2 X\n", "0-0\n", False, "gold, line 2: '1 1 2 X' is no link"),
        ("1 1 1 S\n1 0 2 P\n", "0-0\n", False, "gold, line 2: '1 0 2 P' has word 0"),
        ("1 1 1 S\n2 1 1 S\n", "0-0\n", False, "gold, line 2: sentence 2, but {found} has 1 lines"),
        ("0 1 1 S\n", "0-0\n", False, "gold, line 1: sentence 0, but {found} has 1 lines; sentences are numbered"),
        ("0p0\n", "0-0\n", False, "the gold alignments have no sure link"),
        ("0-0\n", "\n", False, "the alignments have no link"),
        (b"0-0\n\xe9\n", "0-0\n0-0\n", False, "gold, line 2: not UTF-8 (byte 1 is 0xe9)"),
    ],
)  # fmt: skip
def test_anything_else_is_one_line_that_names_it(files, gold, found, one_based, message):
    paths = files(gold, found)
    with pytest.raises(IELError, match=re.escape(message.replace("{found}", paths[1]))) as caught:
        score_files(*paths, one_based=one_based)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_line(files, tmp_path):
    with pytest.raises(IELError, match=r"none: cannot be read \(No such file or directory\)"):
        score_files(str(tmp_path / "none"), files("")[1])
