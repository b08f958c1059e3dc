"""From baseline to two-pass decoding, by fairseq's own commands (DESIGN lines 1 to 3, 6 to 13)."""

from __future__ import annotations

import re

import pytest
import torch
from commands import IEL, MODELS, PLAIN, USER_DIR, bleu, generate, lines, load, run, train, training
from conftest import known_pairs
from fairseq import checkpoint_utils
from fairseq.dataclass.configs import GenerationConfig
from fairseq.models.fconv import FConvModel
from fairseq.models.transformer import TransformerModel

from iel_fairseq.enhancement import KEY

REFERENCES = [pair.known()[1] for pair in known_pairs()]
KINDS = ("words", "positions")


def test_baseline_learns_the_language(data, baseline):
    assert bleu(generate(data, baseline, *PLAIN), REFERENCES) > 95


def test_attention_positions_agree_with_the_known_alignment(extracted):
    """At least 85% of the words that the baseline translates right are read from the word they align with."""
    agree, total = 0, 0
    for pair, (hypothesis, positions) in zip(known_pairs(), extracted, strict=True):
        if hypothesis == pair.known()[1]:
            agree += sum(a == b for a, b in zip(positions, pair.alignment, strict=True))
            total += len(positions)
    assert total > 400
    assert agree / total > 0.85, f"{agree} of {total}"


@pytest.mark.parametrize("kind", KINDS)
def test_enhanced_fine_tuning_keeps_the_bleu(data, trained, arch, kind):
    checkpoint, log = trained(arch, kind)
    assert "attention words for 4,000 sentences; 0 sentences have none" in log
    assert bleu(generate(data, checkpoint, *IEL), REFERENCES) > 95


def test_two_passes_equal_the_two_steps_by_hand_token_for_token(data, trained, arch, by_hand):
    """Line 12, and line 11: the S- line shows x."""
    checkpoint, _ = trained(arch, "words")
    together = generate(data, checkpoint, *IEL, "--print-alignment", "hard")
    apart = generate(by_hand, checkpoint, *PLAIN)
    assert {i: fields[1] for i, fields in lines(together, "H").items()} == {
        i: fields[1] for i, fields in lines(apart, "H").items()
    }
    for i, (score, _) in lines(together, "H").items():
        assert float(score) == pytest.approx(float(lines(apart, "H")[i][0]), abs=1e-4)
    sources = [" ".join(pair.known()[0]) for pair in known_pairs()]
    assert [lines(together, "S")[i][0] for i in range(100)] == sources


def test_alignments_point_into_the_plain_source(data, trained, arch):
    checkpoint, _ = trained(arch, "words")
    output = generate(data, checkpoint, *IEL, "--print-alignment", "hard")
    right, total = 0, 0
    for i, pair in enumerate(known_pairs()):
        aligned = [tuple(map(int, point.split("-"))) for point in lines(output, "A")[i][0].split()]
        assert all(0 <= source < len(pair.source) for source, _ in aligned)
        if lines(output, "H")[i][1].split() == pair.known()[1]:
            right += sum(pair.alignment[target] == source + 1 for source, target in aligned)
            total += len(aligned)
    assert right / total > 0.6
    soft = generate(data, checkpoint, *IEL, "--print-alignment", "soft")
    for i, pair in enumerate(known_pairs()):
        for weights in lines(soft, "A")[i][0].split():
            numbers = [float(weight) for weight in weights.split(",")]
            assert len(numbers) == len(pair.source) + 1  # x and </s>
            assert sum(numbers) == pytest.approx(1, abs=1e-3)


def test_generate_interactive_and_hub_agree(data, corpus, trained, arch):
    """Line 11: every way of decoding runs both passes; line 13: the checkpoint alone is enough."""
    checkpoint, _ = trained(arch, {"transformer": "positions", "fconv": "words"}[arch])
    generated = {i: fields[1] for i, fields in lines(generate(data, checkpoint, *IEL, forked=False), "H").items()}
    text = (corpus / "test.src").read_text()
    interactive = run(
        *("fairseq-interactive", data, "-s", "src", "-t", "tgt", *IEL, "--cpu", "--path", checkpoint, "--beam", "5"),
        *("--buffer-size", 64, "--max-tokens", 300),
        stdin=text,
        forked=False,
    )
    assert {i: fields[1] for i, fields in lines(interactive, "H").items()} == generated
    hub = {"transformer": TransformerModel, "fconv": FConvModel}[arch].from_pretrained(
        str(checkpoint.parent), checkpoint.name, data_name_or_path=str(data), user_dir=USER_DIR
    )
    assert hub.translate(text.splitlines(), beam=5) == [generated[i] for i in range(100)]


def test_positions_change_what_the_model_reads(data, trained, arch):
    """With positions on, decoding the same x' without them is not the same thing."""
    checkpoint, _ = trained(arch, "positions")
    model, task = load(checkpoint, data)
    task.load_dataset("test", task_cfg=task.cfg)
    dataset = task.dataset("test")
    sample, first = task.first_pass(dataset.collater([dataset[i] for i in range(100)]), model)
    net_input = dict(sample["net_input"])
    assert net_input["src_positions"].max() <= first.enhanced.origins.max() + 1
    with torch.no_grad():
        given = model(**net_input)[0]
        del net_input["src_positions"]
        assert (model(**net_input)[0] - given).abs().max() > 0.01


def test_state_dict_is_plain_fairseqs(data, trained, arch, by_hand):
    """Line 7: plain translation loads and decodes what was trained with positions."""
    plain = checkpoint_utils.load_checkpoint_to_cpu(str(trained(arch, "baseline")[0]))
    for kind in KINDS:
        enhanced = checkpoint_utils.load_checkpoint_to_cpu(str(trained(arch, kind)[0]))
        assert list(enhanced["model"]) == list(plain["model"])
    assert len(lines(generate(by_hand, trained(arch, "positions")[0], *PLAIN), "H")) == 100


@pytest.mark.parametrize("arch", ["transformer", pytest.param("fconv", marks=pytest.mark.slow)], indirect=True)
def test_training_equals_plain_translation_on_the_enhanced_text(data, trained, arch, by_hand, tmp_path):
    """Line 9: with positions off, losses are those of plain translation on x' written out, up to float noise.

    Without dropout: batches hold the same sentences, but in the order of x, not of x'.
    """
    baseline, _ = trained(arch, "baseline")
    options = (*MODELS[arch], "--finetune-from-model", baseline, "--max-epoch", 2, "--no-save")
    same = ("--dropout", 0, "--train-subset", "test", "--disable-validation", "--max-tokens", 200)
    plain = train(by_hand, tmp_path / "plain", *PLAIN, *options, *same)
    ours = train(data, tmp_path / "ours", *IEL, *options, *same, "--required-batch-size-multiple", 1)

    def losses(log: str) -> list[float]:
        return [float(loss) for loss in re.findall(r"INFO \| train \|.*?\| loss ([\d.]+)", log)]

    assert len(losses(ours)) == 2
    assert losses(ours) == pytest.approx(losses(plain), abs=2e-3)


def test_the_longest_output_is_computed_from_the_plain_source(data, trained):
    """Line 10: fairseq multiplies --max-len-a with I + 1, the columns of the plain source with ``</s>``."""
    checkpoint, _ = trained("transformer", "words")
    output = generate(data, checkpoint, *IEL, "--max-len-a", 1, "--max-len-b", 0, "--batch-size", 1)
    lengths = {i: len(fields[1].split()) for i, fields in lines(output, "H").items()}
    longer = [i for i, pair in enumerate(known_pairs()) if len(pair.target) > len(pair.source) + 1]
    assert len(longer) > 10
    assert all(lengths[i] <= len(known_pairs()[i].source) + 1 for i in range(100))


def test_eval_bleu_and_validate_run_two_passes(data, trained, tmp_path):
    """Line 11, during training and after; and a checkpoint with BLEU counts in it is read by the safe loader."""
    baseline, _ = trained("transformer", "baseline")
    bleu_options = ("--eval-bleu", "--eval-bleu-args", '{"beam": 5}', "--eval-tokenized-bleu")
    options = (*MODELS["transformer"], "--finetune-from-model", baseline, "--max-epoch", 1, *bleu_options)
    log = train(data, tmp_path, *IEL, *options, "--best-checkpoint-metric", "bleu", "--maximize-best-checkpoint-metric")
    checkpoint = tmp_path / "checkpoint_best.pt"
    during = float(re.findall(r"'valid' subset .*\| bleu ([\d.]+)", log)[-1])
    loss = re.findall(r"'valid' subset \| loss ([\d.]+)", log)[-1]
    output = generate(data, checkpoint, *IEL, "--gen-subset", "valid")
    targets = [fields[0].replace("<<unk>>", "UNKNOWNREF").split() for _, fields in sorted(lines(output, "T").items())]
    assert during == pytest.approx(bleu(output, targets), abs=0.01)
    validated = run("fairseq-validate", data, *IEL, "--path", checkpoint, "--cpu", "--max-tokens", 1000)
    assert f"| loss {loss} |" in validated


def test_the_longest_output_is_computed_from_x_where_x_is_enhanced_already(data, trained, arch):
    """Line 10, as in the validations of a training, whose data set has attention words."""
    model, task = load(trained(arch, "words")[0], data)
    task.load_dataset("test")
    sample = task.dataset("test").collater([task.dataset("test")[index] for index in range(8)])
    enhanced, _ = task.first_pass(sample, model)
    columns = sample["net_input"]["src_tokens"].size(1)
    assert enhanced["net_input"]["src_tokens"].size(1) > columns + 3
    generator = task.build_generator([model], GenerationConfig(beam=1, max_len_a=0.5, max_len_b=0))
    for given in (sample, enhanced):
        found = task.inference_step(generator, [model], given)
        assert max(len(best[0]["tokens"]) for best in found) == int(0.5 * columns) + 1


def test_what_is_cut_is_counted_for_each_set(data, trained, tmp_path):
    """In the validations of a training, which has a first pass where the model reads itself, and after it."""
    given = ("--finetune-from-model", trained("transformer", "baseline")[0], "--attn-model", "self")
    sets = ("--valid-subset", "valid,test", "--max-source-positions", 10)
    log = train(data, tmp_path, *IEL, *MODELS["transformer"], *given, *sets, "--max-epoch", 2)
    counted = re.compile(r"([\d,]+) attention words of ([\d,]+) sentences were cut to fit 10 tokens")
    assert len(counted.findall(log)) == 4
    options = ("--path", tmp_path / "checkpoint_last.pt", "--cpu", "--max-tokens", 1000)
    validated = run("fairseq-validate", data, *IEL, *options, *sets)
    assert counted.findall(validated) == counted.findall(log)[2:]


def test_one_model_serves_both_passes(data, trained, arch):
    """``--attn-model self``: as if its own file were named as the extractor, for any fine-tuned checkpoint."""
    checkpoint, _ = trained(arch, "positions")
    itself = lines(generate(data, checkpoint, *IEL, "--attn-model", "self"), "H")
    named = lines(generate(data, checkpoint, *IEL, "--attn-model", checkpoint), "H")
    assert itself == named


def test_ensemble_of_fine_tuned_models(data, trained, arch):
    checkpoint, _ = trained(arch, "words")
    alone = lines(generate(data, checkpoint, *IEL), "H")
    twice = lines(generate(data, f"{checkpoint}:{checkpoint}", *IEL), "H")
    assert {i: fields[1] for i, fields in twice.items()} == {i: fields[1] for i, fields in alone.items()}


def test_ensemble_of_models_of_other_seeds(data, trained, tmp_path):
    """Without noise their input does not depend on the seed."""
    checkpoint, _ = trained("transformer", "words")
    state = torch.load(checkpoint)
    state["task_state"][KEY]["attn_noise_seed"] += 1
    torch.save(state, tmp_path / "other.pt")
    assert lines(generate(data, f"{checkpoint}:{tmp_path / 'other.pt'}", *IEL), "H").keys() == set(range(100))


def test_an_ensemble_of_other_extractors_reads_the_one_that_it_is_given(data, trained, tmp_path):
    checkpoint, baseline = trained("transformer", "words")[0], trained("transformer", "baseline")[0]
    state = torch.load(checkpoint)
    state["task_state"][KEY].update(extractor=str(tmp_path / "gone.pt"), extractor_sha256="0" * 64)
    torch.save(state, tmp_path / "other.pt")
    ensemble = f"{checkpoint}:{tmp_path / 'other.pt'}"
    given = lines(generate(data, ensemble, *IEL, "--attn-model", baseline), "H")
    assert given == lines(generate(data, f"{checkpoint}:{checkpoint}", *IEL), "H")


def test_a_model_of_old_fairseq_in_an_ensemble_wants_the_plain_source(data, trained, tmp_path):
    """Its checkpoints have no state of a task."""
    state = torch.load(trained("transformer", "baseline")[0])
    del state["task_state"]
    torch.save(state, tmp_path / "old.pt")
    assert lines(generate(data, tmp_path / "old.pt", *IEL), "H").keys() == set(range(100))
    words = trained("transformer", "words")[0]
    for paths in (f"{words}:{tmp_path / 'old.pt'}", f"{tmp_path / 'old.pt'}:{words}"):
        log = generate(data, paths, *IEL, fails=True)
        assert "error: --path: the models of the ensemble want different input" in log.splitlines()[-1]


@pytest.mark.parametrize(
    ("second", "options", "message"),
    [
        ("positions", (), "the models of the ensemble want different input"),
        ("words", ("--attn-model", "self"), "the models of the ensemble read other words each; give --attn-model FILE"),
    ],
)
def test_ensembles_that_make_no_sense_are_one_line(data, trained, second, options, message):
    paths = ":".join(str(trained("transformer", kind)[0]) for kind in ("words", second))
    log = generate(data, paths, *IEL, *options, fails=True)
    assert f"iel_fairseq: error: --path: {message}" in log.splitlines()[-1]


def test_attention_words_fill_what_the_model_can_read(data, trained, tmp_path):
    """Which may be more than fairseq's default of ``--max-source-positions``, the bound of plain sources."""
    state = torch.load(trained("transformer", "words")[0])
    state["cfg"]["model"].max_source_positions = 3000
    torch.save(state, tmp_path / "long.pt")
    options = (data, *IEL, "--path", tmp_path / "long.pt", "--cpu")
    cut = "attention words of 1 sentences were cut to fit"
    assert cut not in run("fairseq-interactive", *options, stdin="n1 " * 900)
    assert f"{cut} 1000 tokens" in run(
        "fairseq-interactive", *options, "--max-source-positions", 1000, stdin="n1 " * 900
    )


def test_an_ensemble_reads_what_each_of_its_models_can(data, trained, tmp_path):
    long, short = trained("transformer", "words")[0], tmp_path / "short.pt"
    state = torch.load(long)
    state["cfg"]["model"].max_source_positions = 700
    torch.save(state, short)
    for paths in ((long, short), (short, long)):
        names, options = [str(path) for path in paths], {"data": str(data)}
        _, _, task = checkpoint_utils.load_model_ensemble_and_task(names, arg_overrides=options)
        assert task.limit == 700


def test_score_reference_and_prefix_and_sampling(data, trained):
    checkpoint, _ = trained("transformer", "positions")
    scored = generate(data, checkpoint, *IEL, "--score-reference")
    assert [fields[1].split() for _, fields in sorted(lines(scored, "H").items())] == REFERENCES
    prefixed = generate(data, checkpoint, *IEL, "--prefix-size", 2)
    assert all(lines(prefixed, "H")[i][1].split()[:2] == reference[:2] for i, reference in enumerate(REFERENCES))
    sampled = generate(data, checkpoint, *IEL, "--sampling", "--sampling-topk", 1, "--nbest", 5)
    assert bleu(sampled, REFERENCES) > 90


@pytest.mark.gpu
def test_all_of_it_on_a_gpu(data, trained, tmp_path):
    """Two rounds of bootstrapping in half precision, and two passes, with positions, in both."""
    baseline, _ = trained("transformer", "baseline")
    words = [word for word in training(data, tmp_path) if word != "--cpu"]
    rounds = ("--bootstrap-rounds", 2, "--bootstrap-epochs", 2, "--attn-positions", "--attn-store", tmp_path)
    options = (*IEL, *MODELS["transformer"], "--finetune-from-model", baseline, *rounds, "--fp16")
    log = run("fairseq-train", *words, *options, gpu=True)
    assert "CUDA enviroments for all 1 workers" in log  # so fairseq spells it
    assert "round 2 of 2" in log
    references = [pair.known()[1] for pair in known_pairs()]
    languages = ("-s", "src", "-t", "tgt", *IEL, "--path", tmp_path / "checkpoint_best.pt", "--beam", 5)
    expected = lines(generate(data, tmp_path / "checkpoint_best.pt", *IEL), "H")
    for half in ((), ("--fp16",)):
        output = run("fairseq-generate", data, *languages, "--log-format", "none", *half, gpu=True)
        found = lines(output, "H")
        assert sum(found[number][1] == fields[1] for number, fields in expected.items()) >= (97 if half else 99)
        assert bleu(output, references) > 90
