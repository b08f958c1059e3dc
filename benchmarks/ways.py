"""Ways to the attention words of a data set: this package's, and what others offer. Each in processes of its own."""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from commands import USER_DIR, run
from fairseq import checkpoint_utils
from fairseq.sequence_generator import SequenceGenerator

from iel_fairseq.attention_words import MAX_LEN_A, MAX_LEN_B, extract_attention_words, read_attention_words
from iel_fairseq.device import chosen_device
from iel_fairseq.extraction import DatasetExtraction
from iel_fairseq.extractor import Extractor

Found = dict[int, tuple[list[int], list[int]]]
"""Hypothesis and attention positions of each sentence; empty where a way does not give them."""


@dataclass(frozen=True)
class Material:
    """What is extracted from what. Plain data, for worker processes.

    Attributes:
        data: fairseq data folder
        path: checkpoint of a Transformer or ConvS2S
        split: of the data
        cpu: do not use the GPU
    """

    data: str
    path: str
    split: str
    cpu: bool

    def load(self) -> tuple[Any, Any]:
        """Model, in eval mode and on its device, and task, with the split loaded."""
        models, _, task = checkpoint_utils.load_model_ensemble_and_task([self.path], arg_overrides={"data": self.data})
        task.load_dataset(self.split)
        model = models[0].eval()
        model.make_generation_fast_(need_attn=not hasattr(model.decoder, "layers"))  # ConvS2S only when told
        return model.to(chosen_device(self.cpu)), task


# --- ways in fairseq ----------------------------------------------------------------------------------------------


def ours(model, dataset, sentences: range, tokens: int, device: torch.device) -> Found:
    """As training and `iel extract` do it; attention positions only."""
    extractor = Extractor(model, path="", sha256="", round=0)
    extraction = DatasetExtraction(dataset, "train", extractor, device, max_tokens=tokens, log_format="none")
    return {i: ([], row.tolist()) for i, row in zip(sentences, extraction.positions(sentences), strict=True)}


def afterwards(model, src_tokens) -> list[tuple[list[int], list[int]]]:
    """Attention from one forward pass over finished hypotheses. (These come from `ours`, whose decoding keeps one
    layer's attention weights, which it computes anyway.)"""
    words = read_attention_words(model, src_tokens, extract_attention_words(model, src_tokens).hypotheses)
    return _rows(words)


def hypotheses(model, src_tokens) -> list[tuple[list[int], list[int]]]:
    """Algorithm 1, batch by batch, with its hypotheses."""
    return _rows(extract_attention_words(model, src_tokens))


def _rows(words) -> list[tuple[list[int], list[int]]]:
    rows = zip(words.hypotheses.tolist(), words.positions.tolist(), words.lengths.tolist(), strict=True)
    return [(hypothesis[:count], positions[:count]) for hypothesis, positions, count in rows]


def generator(model, src_tokens) -> list[tuple[list[int], list[int]]]:
    """fairseq's beam search of size 1; no attention words."""
    search = SequenceGenerator([model], model.decoder.dictionary, 1, max_len_a=MAX_LEN_A, max_len_b=MAX_LEN_B)
    sample = {"net_input": {"src_tokens": src_tokens, "src_lengths": src_tokens.ne(search.pad).sum(dim=1)}}
    return [(best[0]["tokens"].tolist()[:-1], []) for best in search.generate([model], sample)]


@torch.no_grad()
def naive(model, src_tokens) -> list[tuple[list[int], list[int]]]:
    """Algorithm 1 as it is written: one sentence, and one whole prefix, at a time."""
    pad, eos = model.decoder.dictionary.pad(), model.decoder.dictionary.eos()
    found = []
    for row in src_tokens:
        source = row[row.ne(pad)].unsqueeze(0)
        words = source.size(1) - 1
        prefix, positions = [eos], []
        while len(positions) < int(MAX_LEN_A * words + MAX_LEN_B):
            encoder_out = model.encoder(source, src_lengths=source.new_tensor([words + 1]))
            logits, extra = model.decoder(source.new_tensor([prefix]), encoder_out=encoder_out)
            attention = (extra["attn"][0] if isinstance(extra, dict) else extra)[0, -1]
            logits[0, -1, pad] = -torch.inf
            token = int(logits[0, -1].argmax())
            if token == eos:
                break
            prefix.append(token)
            positions.append(int(attention[:words].argmax()) + 1)
        found.append((prefix[1:], positions))
    return found


BATCHED: dict[str, Callable] = {function.__name__: function for function in (afterwards, hypotheses, generator, naive)}


def batches_of(dataset, sentences: range, tokens: int, device: torch.device) -> list[tuple[list[int], torch.Tensor]]:
    """Longest first, at most *tokens* in each, padding included."""
    batches: list[list[int]] = []
    for index in sorted(sentences, key=lambda i: -dataset.src_sizes[i]):
        if not batches or dataset.src_sizes[batches[-1][0]] * (len(batches[-1]) + 1) > tokens:
            batches.append([])
        batches[-1].append(index)
    collated = [dataset.collater([dataset[i] for i in batch]) for batch in batches]
    return [(one["id"].tolist(), one["net_input"]["src_tokens"].to(device)) for one in collated]


def serve(connection: Connection, material: Material, threads: int) -> None:
    """Answer requests (way, sentences, tokens) with (seconds, what was found)."""
    torch.set_num_threads(threads)
    device = chosen_device(material.cpu)
    model, task = material.load()
    dataset = task.dataset(material.split)
    while True:
        try:
            way, sentences, tokens = connection.recv()
        except EOFError:  # the benchmark has ended
            return
        started = time.perf_counter()
        try:
            if way == "ours":
                found = ours(model, dataset, sentences, tokens, device)
            else:
                found = {
                    index: row
                    for ids, src_tokens in batches_of(dataset, sentences, tokens, device)
                    for index, row in zip(ids, BATCHED[way](model, src_tokens), strict=True)
                }
        except RuntimeError as error:  # of memory, most likely
            connection.send(error)
            continue
        connection.send((time.perf_counter() - started, found))


class Workers:
    """Processes that extract at once, each its share."""

    def __init__(self, material: Material, count: int, threads: int):
        context = multiprocessing.get_context("spawn")
        self._connections = []
        for _ in range(count):
            here, there = context.Pipe()
            context.Process(target=serve, args=(there, material, threads), daemon=True).start()
            self._connections.append(here)

    def run(self, way: str, sentences: range, tokens: int) -> tuple[float, Found]:
        """The seconds of the slowest, and what all found.

        Raises:
            RuntimeError: one of them could not
        """
        share = -(-len(sentences) // len(self._connections))
        for number, connection in enumerate(self._connections):
            connection.send((way, sentences[number * share : (number + 1) * share], tokens))
        answers = [connection.recv() for connection in self._connections]
        for answer in answers:
            if isinstance(answer, RuntimeError):
                raise answer
        seconds, found = zip(*answers, strict=True)
        return max(seconds), {index: row for part in found for index, row in part.items()}


# --- ways outside -------------------------------------------------------------------------------------------------


def print_alignment(material: Material, count: int, tokens: int) -> float:
    """Seconds of `fairseq-generate --print-alignment` for *count* sentences, by its own account."""
    options = ["--gen-subset", material.split, "--beam", 1, "--print-alignment", "--required-batch-size-multiple", 1]
    options += ["--max-len-a", MAX_LEN_A, "--max-len-b", MAX_LEN_B, "--max-tokens", tokens]
    options += ["--cpu"] if material.cpu else []
    log = run("fairseq-generate", material.data, "--path", material.path, *USER_DIR, *options)
    [speed] = re.findall(r"Translated .*\(([\d.]+) sentences/s", log)
    return count / float(speed)


class CTranslate2:
    """Greedy decoding with attention in CTranslate2, an engine made for inference, on the same weights."""

    def __init__(self, material: Material, dataset, sentences: range, folder: Path):
        from ctranslate2.converters import FairseqConverter

        self._device = chosen_device(material.cpu).type
        self._folder, self._dataset = folder, dataset
        self._order = sorted(sentences, key=lambda i: -dataset.src_sizes[i])  # as all others have it
        self._words = [[dataset.src_dict[word] for word in dataset.src[i].tolist()[:-1]] for i in self._order]
        for kind in ("float32", "int8"):
            converter = FairseqConverter(material.path, material.data)
            converter.convert(str(folder / kind), quantization=None if kind == "float32" else kind)

    def run(self, kind: str, inter: int, intra: int, tokens: int) -> tuple[float, Found]:
        """*inter* batches at once, each on *intra* threads."""
        import ctranslate2

        translator = ctranslate2.Translator(
            str(self._folder / kind), self._device, compute_type=kind, inter_threads=inter, intra_threads=intra
        )
        options = {"beam_size": 1, "return_attention": True, "batch_type": "tokens", "max_batch_size": tokens}
        limit = int(MAX_LEN_A * max(map(len, self._words)) + MAX_LEN_B)
        translator.translate_batch(self._words[-8:], max_decoding_length=limit, **options)  # wakes its threads
        started = time.perf_counter()
        results = translator.translate_batch(self._words, max_decoding_length=limit, **options)
        found = {}
        for index, words, result in zip(self._order, self._words, results, strict=True):
            hypothesis = [self._dataset.tgt_dict.index(word) for word in result.hypotheses[0]]
            attention = np.array(result.attention[0])[:, : len(words)] if hypothesis else np.empty((0, 1))
            found[index] = hypothesis, (attention.argmax(axis=1) + 1).tolist()
        return time.perf_counter() - started, found
