"""Every JSON file that is read, damaged and made up: one line, or a value of the right kind."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

import pytest
from mutations import COUNTS, ODD_FILES, damaged, damaged_json, read_damaged

from iel_fairseq.attention_plots import attention_page
from iel_fairseq.bootstrapping_record import Record, Round
from iel_fairseq.cli.plot import _noise
from iel_fairseq.errors import IELError
from iel_fairseq.json_data import parse_json
from iel_fairseq.preparation.journal import Journal
from iel_fairseq.preparation.prepared_folder import PreparedFolder
from iel_fairseq.readings import Reading, joined_readings, read_readings
from iel_fairseq.reports.plots import bootstrapping_figure


def mutants(path: Path, count: int):
    content = path.read_bytes()
    return [*damaged(content, 1, count), *damaged_json(content, 1, count)]


@pytest.mark.parametrize("count", COUNTS)
def test_record_of_bootstrapping(tmp_path, record_property, count):
    first = Round(1, 1, "a.pt", scores={"1": 30.5, "2": 31.0}, losses={"1": 2.0, "2": 1.5})
    second = Round(2, 3, "b.pt", best=31.0, changed=0.25, scores={"3": 32.0}, losses={"3": 1.0})
    file = tmp_path / "bootstrapping.json"
    file.write_text(json.dumps(asdict(Record("bleu", True, [first, second]))))

    def read() -> Record:
        record = Record.read(str(file))
        bootstrapping_figure(record, {"baseline": 30.0})
        return record

    tried, accepted = read_damaged(file, mutants(file, count), read)
    record_property("inputs", tried)
    for _, record in accepted:
        assert [each.number for each in record.rounds] == list(range(1, len(record.rounds) + 1))
        assert all(type(each.first_epoch) is int and each.losses.keys() == each.scores.keys() for each in record.rounds)


@pytest.mark.parametrize("count", COUNTS)
def test_memory_of_a_prepared_folder(tmp_path, record_property, count):
    PreparedFolder(
        *(str(tmp_path), "fr", "en", {"valid": "valid"}, {"fr": "truecaser.fr"}, {"fr": "codes", "en": "codes"}),
        *({"merges": 5}, {"valid.fr": "0" * 64}, {"sacremoses": "0.2"}, {"codes": "0" * 64}),
    ).write()
    file = tmp_path / "preparation.json"
    tried, accepted = read_damaged(file, mutants(file, count), lambda: PreparedFolder.read(str(tmp_path)))
    record_property("inputs", tried)
    for _, prepared in accepted:  # none reads outside of its folder
        for name in [*prepared.codes.values(), *prepared.truecasers.values()]:
            assert name
            assert (tmp_path / name).parent == tmp_path
        assert {prepared.source_lang, prepared.target_lang} <= prepared.codes.keys()


@pytest.mark.parametrize("codes", ["../codes", "/etc/passwd", ""])
def test_a_prepared_folder_names_no_file_elsewhere(tmp_path, codes):
    PreparedFolder(str(tmp_path), "fr", "en", {"valid": "valid"}, {}, {"fr": codes, "en": "codes"}).write()
    with pytest.raises(IELError, match=r"damaged .*not the name of a file in the folder"):
        PreparedFolder.read(str(tmp_path))


@pytest.mark.parametrize("count", COUNTS)
def test_journal(tmp_path, record_property, count):
    results = [{"raw": 3, "words": {"fr": [1, 2]}}, {"kept": 2, "dropped": {}}]

    def steps() -> list[dict]:
        journal = Journal(str(tmp_path), "journal.json", {"request": "r", "inputs": {"a": "0" * 64}})
        return [journal.step(f"step {number}", [], lambda: results[number]) for number in range(2)]  # noqa: B023

    steps()
    file = tmp_path / "journal.json"
    tried, accepted = read_damaged(file, mutants(file, count), steps, names=str(tmp_path))
    record_property("inputs", tried)
    assert all(found == results for _, found in accepted)


READING = {
    "id": 0,
    "source": ["ter@@", "rier", "court"],
    "hypothesis": ["a", "run@@", "s"],
    "attention_words": ["rier", "rier", "court"],
    "positions": [2, 2, 3],
    "scores": [0.5, 0.6, 0.7],
    "attention": [[0.1, 0.2, 0.3, 0.4]] * 3,
}


@pytest.mark.parametrize("count", COUNTS)
def test_readings(tmp_path, record_property, count):
    file = tmp_path / "readings.jsonl"

    def read() -> list[Reading]:
        readings = read_readings(file)
        attention_page(readings).encode()
        attention_page(joined_readings(readings)).encode()
        return readings

    file.write_text(f"{json.dumps(READING)}\n{json.dumps({**READING, 'attention': None, 'scores': None})}\n")
    tried, _ = read_damaged(file, damaged(file.read_bytes(), 1, count), read)
    file.write_text(json.dumps(READING))
    tried_values, accepted = read_damaged(file, damaged_json(file.read_bytes(), 1, count), read)
    record_property("inputs", tried + tried_values)
    for mutant, [reading] in accepted:  # nothing is converted
        asked = json.loads(mutant)
        assert (reading.source, reading.hypothesis) == (asked["source"], asked["hypothesis"])
        assert [at for places in reading.positions for at in places] == asked["positions"]
        attention = None if reading.attention is None else reading.attention.tolist()
        assert attention == asked.get("attention")


@pytest.mark.parametrize("count", COUNTS)
def test_results_of_the_ablation(tmp_path, record_property, count):
    file = tmp_path / "ablation.json"
    systems = ("baseline", "noise-0-1", "noise-50-2")
    file.write_text(json.dumps([{"model": "fconv", "set": "test", "bleu": 3.0, "system": name} for name in systems]))
    tried, _ = read_damaged(file, mutants(file, count), lambda: _noise(Namespace(results=str(file))))
    record_property("inputs", tried)


@pytest.mark.parametrize("text", ODD_FILES)
def test_what_is_no_json_or_of_another_kind_is_a_value_error_of_one_line(text):
    with pytest.raises(ValueError, match=r"^.+$"):
        parse_json(text, list[int] if text != b"[]" else int)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("[1, true]", list[int], "1: Input should be a valid integer, not True"),
        ("[1.0]", list[int], "0: Input should be a valid integer, not 1.0"),
        ('["1"]', list[int], "0: Input should be a valid integer, not '1'"),
        ('[{"number": 1}]', list[Round], "0.first_epoch: Field required"),
        (
            '{"metric": "bleu", "maximize": true, "rounds": [], "x": 1}',
            Record,
            "x: a key that this version of iel_fairseq does not know",
        ),
        ("{", dict, "Invalid JSON: EOF while parsing an object at line 1 column 1"),
    ],
)
def test_the_first_place_that_is_wrong_is_named(text, kind, message):
    with pytest.raises(ValueError, match=r"^.+$") as caught:
        parse_json(text, kind)
    assert str(caught.value) == message
