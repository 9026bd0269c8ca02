"""A small Llama for tasks that are written as text, which is trained from random weights."""

import re
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from typing_extensions import override

from causalign.errors import InvalidArgument, MissingDependency
from causalign.files import current_umask
from causalign.networks.base import Network
from causalign.networks.hub import from_pretrained
from causalign.networks.huggingface import HuggingFace
from causalign.networks.layers import initialise
from causalign.networks.pretrained_source import quiet
from causalign.networks.tokenization import spell
from causalign.random_streams import torch_stream
from causalign.tasks.base import BEGIN, Task
from causalign.tasks.vocabulary import PAD, Vocabulary

_PIECE = r" ?\w+| ?[^\w\s]|\n"  # a word or a punctuation mark with the space before it, or the end of a line
_UNKNOWN = "<unknown>"
_DEPTH, _HEAD, _REACH = 2, 32, 512


class Llama(HuggingFace):
    """A Llama with two layers, and a tokenizer of the words in the task's text.

    It is saved like any model of Hugging Face, its tokenizer included, and can be used as one.

    Args:
        model: The model.
        tokenizer: The tokenizer.
        task: The task whose trials the model reads.
    """

    architecture = "llama"

    def __init__(self, model: Any, tokenizer: Any, task: Task) -> None:
        prompt, ids = spell(tokenizer, task, whose=self.architecture)
        super().__init__(model, task, ids, f"{task.name}/{self.architecture}", prompt)
        self.tokenizer = tokenizer

    @override
    @classmethod
    def initialised(cls, task: Task, seed: int, width: int = 128) -> "Llama":
        if find_spec("transformers") is None:
            raise MissingDependency("a llama needs transformers: pip install 'causalign[hf]'")
        if task.texts is None:
            raise InvalidArgument(
                f"a llama reads text, and {task.name} does not define the texts of its tokens (Task.texts)"
            )
        if width < 1 or width % _HEAD:
            raise InvalidArgument(f"a llama has heads of {_HEAD} units; its width must be a multiple, found {width}")
        tokenizer = _tokenizer(task)
        model = _model(width, len(tokenizer))
        initialise(model, torch_stream(seed, "initialise", cls.architecture))
        network = cls(model, tokenizer, task)
        network.name = f"untrained:{network.name}/{seed}"
        return network

    @override
    def save(self, folder: Path) -> None:
        try:
            with tempfile.TemporaryDirectory(dir=folder, prefix=".saving") as temporary, quiet():
                self.model.save_pretrained(temporary)
                self.tokenizer.save_pretrained(temporary)
                for file in Path(temporary).iterdir():
                    file.chmod(0o666 & ~current_umask())  # the weights are written readable by their owner only
                    file.replace(folder / file.name)
        except OSError as error:
            raise InvalidArgument(f"cannot write to {folder}: {error.strerror or error}") from None

    @override
    @classmethod
    def saved(cls, folder: Path, vocabulary: Vocabulary, task: Task, width: int) -> Network:
        return from_pretrained(folder, task)


def _tokenizer(task: Task) -> Any:
    """Return a tokenizer with one token for every word and punctuation mark of the task's text."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    texts = task.texts or {}
    pieces = re.findall(_PIECE, texts[BEGIN]) + [texts[name] for name in task.vocabulary.tokens if name in texts]
    words = {word: index for index, word in enumerate(dict.fromkeys([f"<{PAD}>", _UNKNOWN, *pieces]))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=_UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECE), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=f"<{PAD}>", unk_token=_UNKNOWN)


def _model(width: int, vocabulary: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=_DEPTH,
        num_attention_heads=width // _HEAD,
        num_key_value_heads=1,
        max_position_embeddings=_REACH,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):  # the model draws its first weights from the global generator
        return LlamaForCausalLM(config)
