from commands import IEL, PLAIN, bleu, generate
from conftest import known_pairs

REFERENCES = [pair.known()[1] for pair in known_pairs()]


def test_baseline_learns_the_language(data, baseline):
    assert bleu(generate(data, baseline, *PLAIN), REFERENCES) > 95


def test_x(data, trained, arch):
    for kind in ("words", "positions"):
        ck, log = trained(arch, kind)
        print(log[-6000:])
        out = generate(data, ck, *IEL)
        print(bleu(out, REFERENCES))
