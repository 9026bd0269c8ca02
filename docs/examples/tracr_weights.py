"""Compile the RASP programs of `causalign.validation` with tracr: `python docs/examples/tracr_weights.py`.

It needs `pip install tracr-pypi` (and its JAX) in an environment of its own, and writes the weights of the compiled
transformers, the names of their directions, and some of tracr's own outputs into one file of the package. The package
reads that file, and does not need tracr.
"""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tracr.compiler import compiling, lib
from tracr.rasp import rasp

FILE = Path(__file__).parents[2] / "src/causalign/validation/problems/_weights/tracr.safetensors"
OUTPUTS_OF_LENGTH = 2


def count() -> rasp.SOp:
    """Return, for each token, the number of a's plus the place of the token in the alphabet, modulo 6."""
    shifted = rasp.SequenceMap(
        lambda n, token: (n + "abc".index(token)) % 6, lib.make_count(rasp.tokens, "a"), rasp.tokens
    )
    return shifted.named("shifted")


def histogram() -> rasp.SOp:
    """Return, for each token, the number of tokens like it plus twice its place in the alphabet, modulo 6."""
    shifted = rasp.SequenceMap(lambda n, token: (n + 2 * "abc".index(token)) % 6, lib.make_hist(), rasp.tokens)
    return shifted.named("shifted")


def balance() -> rasp.SOp:
    """Return, for each token, the share of `(` minus the share of `)` among the tokens up to it."""
    return lib.make_pair_balance(rasp.tokens, "(", ")")


PROGRAMS = {"count": (count, "abc", 5), "histogram": (histogram, "abc", 5), "balance": (balance, "()x", 6)}
"""Each program, its tokens, and the length of its longest input."""


def tensors(model: Any) -> dict[str, np.ndarray]:
    """Return the weights of a compiled transformer: matrices are `[inputs, outputs]`."""
    parameters = {
        name.removeprefix("transformer/"): {key: np.asarray(each, dtype=np.float32) for key, each in of_module.items()}
        for name, of_module in model.params.items()
    }
    found = {f"{name}.{key}": each for name, of_module in parameters.items() for key, each in of_module.items()}
    return {name.replace("/", "."): each for name, each in found.items()}


def bare(name: str) -> str:
    """Return the name of a direction without the number that tracr appends: `hist_5:0` is `hist:0`."""
    return re.sub(r"_\d+(?=:|_selector|$)", "", name)


def unembedding(model: Any, program: rasp.SOp) -> list[str]:
    """Return the names of the directions that are read out, in the order of the outputs."""
    if not rasp.is_categorical(program):
        return [bare(program.label)]
    values = sorted(model.output_encoder.encoding_map.items(), key=lambda item: item[1])
    return [bare(f"{program.label}:{value}") for value, _ in values]


def outputs(model: Any, tokens: str) -> dict[str, np.ndarray]:
    """Return all inputs of a small length as ids, and tracr's residual stream after the last layer."""
    inputs = [["compiler_bos", *each] for each in itertools.product(tokens, repeat=OUTPUTS_OF_LENGTH)]
    ids = np.array([model.input_encoder.encode(each) for each in inputs], dtype=np.int32)
    streams = np.concatenate([np.asarray(model.apply(each).transformer_output) for each in inputs])
    return {"outputs.inputs": ids, "outputs.streams": streams.astype(np.float32)}


def main() -> None:
    """Compile all programs, and write the file."""
    weights, header = {}, {}
    for name, (program_of, tokens, length) in PROGRAMS.items():
        program = program_of()
        model = compiling.compile_rasp_to_model(program, set(tokens), max_seq_len=length, compiler_bos="compiler_bos")
        encoding = model.input_encoder.encoding_map
        header[name] = json.dumps(
            {
                "tokens": sorted(encoding, key=encoding.get),
                "directions": [bare(each) for each in model.residual_labels],
                "outputs": unembedding(model, program),
                "layers": model.model_config.num_layers,
                "heads": model.model_config.num_heads,
            }
        )
        weights |= {f"{name}.{key}": each for key, each in (tensors(model) | outputs(model, tokens)).items()}
        print(name, header[name])
    FILE.parent.mkdir(exist_ok=True)
    save_file(weights, FILE, metadata=header)
    print(f"{FILE.name}: {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
